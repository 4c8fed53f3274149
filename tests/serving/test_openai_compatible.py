"""Any server with OpenAI's surface, and where a user's address of one may lead."""

import asyncio

import pytest
from aiohttp import web

from accounts.models import AllowedPlace
from serving.backends.base import AnswerBroke, BackendUnavailable, NotSupported, Target
from serving.backends.openai_compatible import OpenAICompatibleBackend
from serving.backends.registry import BACKENDS
from serving.guard import guard
from serving.protocol import ApiError, parse_chat_request
from tests.serving.adapters import DEMO
from tests.serving.fake_vllm import running_fake
from tests.serving.threaded import running_app

ASK = parse_chat_request({"model": "x", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4})
TARGET = Target("demo", "demo", DEMO)


@pytest.fixture(scope="module")
def server():
    with running_fake(DEMO, api_key="secret") as fake:
        yield fake


def app_that(handler) -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    return app


async def test_it_answers_with_the_key_and_says_so_without(server):
    backend = BACKENDS["openai_compatible"](f"{server.url}/v1", api_key="secret")
    assert await backend.models() == ["demo"]
    await backend.ensure_loaded(TARGET)
    assert (await backend.chat(TARGET, ASK)).usage.completion_tokens <= 4
    with pytest.raises(ApiError) as caught:
        await OpenAICompatibleBackend(server.url, api_key="wrong").models()
    assert (caught.value.status, caught.value.code) == (502, "backend_key_refused")
    assert not await OpenAICompatibleBackend(server.url).is_healthy()


async def test_adapters_are_refused_with_advice(server):
    backend = OpenAICompatibleBackend(server.url, api_key="secret")
    for refused in (
        backend.load_adapter("a", DEMO),
        backend.unload_adapter("a"),
        backend.token_ids("demo", []),
    ):
        with pytest.raises(NotSupported):
            await refused


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("http://h", "http://h/v1/models"),
        ("http://h/", "http://h/v1/models"),
        ("http://h/v1", "http://h/v1/models"),
        ("http://h/team/v1/", "http://h/team/v1/models"),
        ("https://h/v1beta/openai", "https://h/v1beta/openai/models"),
    ],
)
def test_an_address_is_read_as_openais_client_reads_it(url, asked):
    assert OpenAICompatibleBackend(url).address("/v1/models") == asked


@pytest.mark.parametrize("url", ["", "h:80", "ftp://h", "unix:///x", "http://"])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ValueError, match="begins with http"):
        OpenAICompatibleBackend(url)


async def test_odd_answers_are_errors_of_the_server_and_not_of_the_asker():
    async def odd(request: web.Request) -> web.StreamResponse:
        match request.match_info["path"]:
            case "v1/models":
                return web.json_response(["what"])
            case "v1/redirect":
                raise web.HTTPFound("http://127.0.0.1:1/")
            case "v1/many":
                return web.json_response({"error": {"message": "slow down"}}, status=429)
            case "v1/html":
                return web.Response(text="<html>Bad gateway</html>", status=502)
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'data: {"choices": [{"delta": {"content": "Hel"}}]}\n\n')
        if (await request.json())["model"] == "odd":
            await response.write(b"data: {]\n\n")
        request.transport.close()
        return response

    with running_app(app_that(odd)) as url:
        backend = OpenAICompatibleBackend(url)
        for asked, status in (
            (backend.models(), 502),
            (backend.forward("/v1/redirect", {}), 502),
            (backend.forward("/v1/many", {}), 429),
            (backend.forward("/v1/html", {}), 502),
            (backend.chat(Target("odd", "odd", DEMO), ASK), 502),
        ):
            with pytest.raises(ApiError) as caught:
                await asked
            assert caught.value.status == status, caught.value.message
        with pytest.raises(AnswerBroke):
            await backend.chat(TARGET, ASK)


async def test_closing_an_answer_ends_it_at_the_server():
    with running_fake(DEMO, seconds_a_token=0.05, context=4000) as fake:
        backend = OpenAICompatibleBackend(fake.url)
        deltas = backend.stream_chat(TARGET, ASK)
        await anext(deltas)
        await deltas.aclose()
        reply = await backend.forward("/v1/chat/completions", ASK.as_body(model="demo", stream=True))
        await anext(reply.chunks)
        await reply.close()
        for _ in range(50):
            if fake.aborted == 2:
                break
            await asyncio.sleep(0.02)
        assert fake.aborted == 2
        assert fake.running == {}


def test_connections_are_kept_within_a_loop_and_closed_with_it(server):
    async def ask() -> None:
        backend = OpenAICompatibleBackend(server.url, api_key="secret")
        for _ in range(3):
            await backend.models()

    for _ in range(2):
        asyncio.run(ask())


async def test_a_connection_that_the_server_has_closed_is_opened_anew():
    counts = {"asked": 0}

    async def hang_up(request: web.Request) -> web.Response:
        counts["asked"] += 1
        if counts["asked"] == 2:
            request.transport.close()
        return web.json_response({"data": [{"id": "m"}]})

    with running_app(app_that(hang_up)) as url:
        backend = OpenAICompatibleBackend(url)
        for _ in range(3):
            assert await backend.models() == ["m"]
        assert counts["asked"] == 4


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_users_address_leads_into_no_private_network_unless_it_is_allowed(server, host):
    url = server.url.replace("127.0.0.1", host)
    backend = OpenAICompatibleBackend(url, api_key="secret", guard=guard)
    with pytest.raises(ApiError) as caught:
        await backend.models()
    assert (caught.value.status, caught.value.code) == (400, "address_refused")
    assert backend.wire() is None
    allowed = await AllowedPlace.objects.acreate(what="host", place=f"{host}:{url.rpartition(':')[2]}")
    assert await backend.models() == ["demo"]
    # What was allowed once is asked for again each time.
    await allowed.adelete()
    with pytest.raises(ApiError):
        await backend.models()


@pytest.mark.django_db(transaction=True)
async def test_a_users_address_that_nobody_knows_is_said_to_be_so():
    backend = OpenAICompatibleBackend("https://no-such-host.invalid", guard=guard)
    with pytest.raises(ApiError) as caught:
        await backend.models()
    assert caught.value.status == 503
    with pytest.raises(BackendUnavailable):
        await OpenAICompatibleBackend("https://no-such-host.invalid").models()


def test_a_key_that_a_server_repeats_goes_no_further():
    backend = OpenAICompatibleBackend("http://127.0.0.1:1", api_key="house-secret-key")
    for status in (401, 400, 500):
        said = backend.refusal(status, '{"error": {"message": "Wrong key: house-secret-key, try again"}}')
        assert "house-secret-key" not in said.message and "[key]" in said.message
