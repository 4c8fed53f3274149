"""Every adapter against a server that speaks its provider's own protocol: the same questions, the same answers."""

import asyncio
import json
import time

import pytest
from aiohttp import web

from providers.backends.custom import Custom
from providers.backends.huggingface import HuggingFace
from providers.base import Access, Call, ProviderFailed
from tests.providers.adapters import HELLO, QUICK, TOOLS, streamed
from tests.providers.fake_openai import FakeOpenAI
from tests.providers.fakes import KEY, Fault, running, vector_of
from tests.serving.threaded import running_app


async def test_a_whole_answer(made):
    answer = await made.client().chat(made.call())
    assert (answer.text, answer.finish_reason, answer.usage) == (made.fake.answer, "stop", made.usage)
    assert answer.model and not answer.tool_calls


@pytest.mark.parametrize("is_stream", [True, False])
async def test_tools_are_called_and_their_results_understood(made, is_stream):
    client = made.client()
    call = made.call(tools=TOOLS)
    if is_stream:
        _text, pieces = await streamed(client, call)
        made_calls, finish = pieces[-1].tool_calls, pieces[-1].finish_reason
    else:
        answer = await client.chat(call)
        made_calls, finish = answer.tool_calls, answer.finish_reason
    assert finish == "tool_calls"
    assert [one["function"]["name"] for one in made_calls] == ["weather", "time"]
    assert [json.loads(one["function"]["arguments"]) for one in made_calls] == [
        {"place": "Köln", "n": 0}, {"place": "Köln", "n": 1},
    ]  # fmt: skip
    assert len({one["id"] for one in made_calls}) == 2
    results = [{"role": "tool", "tool_call_id": one["id"], "content": "12 °C"} for one in made_calls]
    asked = [*HELLO, {"role": "assistant", "content": None, "tool_calls": list(made_calls)}, *results]
    answer = await client.chat(made.call(messages=asked, tools=TOOLS))
    assert answer.text == made.fake.answer


async def test_the_system_is_told_in_the_providers_way(made):
    await made.client().chat(made.call())
    body = made.fake.seen[-1].body
    if made.kind == "anthropic":
        assert body["system"] == "Be kind." and [m["role"] for m in body["messages"]] == ["user"]
        assert body["max_tokens"] > 0 and made.fake.seen[-1].headers["anthropic-version"] == "2026-10-21"
    else:
        assert body["messages"][0] == HELLO[0]


async def test_settings_arrive_under_the_providers_names(made):
    call = made.call(max_tokens=7, temperature=0.5, stop=["END"], seed=3)
    await made.client().chat(call)
    body = made.fake.seen[-1].body
    match made.kind:
        case "anthropic":
            assert (body["max_tokens"], body["temperature"], body["stop_sequences"]) == (7, 0.5, ["END"])
        case "ollama":
            assert body["options"] == {"num_predict": 7, "temperature": 0.5, "seed": 3, "stop": ["END"]}
        case _:
            limit = "max_completion_tokens" if made.kind == "openai" else "max_tokens"
            assert (body[limit], body["temperature"], body["stop"], body["seed"]) == (7, 0.5, ["END"], 3)


async def test_vectors_come_in_the_order_of_the_texts(made):
    texts = [f"text {number}" for number in range(70)]  # more than go into one request
    if made.kind == "anthropic":
        with pytest.raises(ProviderFailed, match="does not offer") as refused:
            await made.client().embed(made.model, texts)
        assert refused.value.kind == "bad_request"
        return
    found = await made.client().embed(made.model, texts)
    assert found == [vector_of(text) for text in texts]
    assert found.input_tokens == {"huggingface": None, "ollama": 6}.get(made.kind, 70)


async def test_models_are_listed(made):
    found = await made.client().models()
    assert len(found) >= 2 and [model.id for model in found] == sorted(model.id for model in found)
    if made.kind == "anthropic":
        assert len(found) == 3 and found[0].context_tokens == 200000  # over two pages
    if made.kind == "huggingface":
        assert found[0].price and float(found[0].price.input) == 0.2 and found[0].context_tokens == 131072


async def test_a_good_key_passes_the_check_and_a_wrong_one_does_not(made):
    assert await made.client().check()
    if made.kind == "ollama":
        return
    with pytest.raises(ProviderFailed) as refused:
        await made.client(key="sk-wrong-key-0987654321zyxwv").check()
    assert refused.value.kind == "auth" and "zyxwv" not in str(refused.value)
    assert refused.value.status == 502 and refused.value.body()["error"]["code"] == "provider_key_refused"


@pytest.mark.parametrize("status", [500, 503, 529])
async def test_trouble_is_tried_again(made, status):
    made.fake.script.extend(
        [Fault(status, {"error": {"message": "Overloaded", "type": "overloaded_error"}})] * 2
    )
    assert (await made.client().chat(made.call())).text == made.fake.answer
    assert len(made.fake.seen) == 3


async def test_the_last_try_tells_what_was_wrong(made):
    made.fake.script.extend([Fault(503, "upstream connect error")] * 3)
    with pytest.raises(ProviderFailed, match="upstream connect error") as failed:
        await streamed(made.client(), made.call())
    assert failed.value.kind == "overload" and not failed.value.has_begun and len(made.fake.seen) == 3


async def test_the_pause_that_is_asked_for_is_kept(made):
    made.fake.script.append(Fault(429, {"error": {"message": "slow down"}}, {"retry-after": "0.3"}))
    began = asyncio.get_running_loop().time()
    assert (await made.client().chat(made.call())).text == made.fake.answer
    assert 0.3 <= asyncio.get_running_loop().time() - began < 1


async def test_a_pause_that_is_too_long_is_passed_on_and_not_waited_for(made):
    made.fake.script.append(Fault(429, {"error": {"message": "slow down"}}, {"retry-after": "3600"}))
    with pytest.raises(ProviderFailed) as failed:
        await made.client().chat(made.call())
    assert (failed.value.kind, failed.value.retry_after, len(made.fake.seen)) == ("rate", 3600, 1)


async def test_what_stays_wrong_is_not_tried_again(made):
    made.fake.script.append(Fault(400, {"error": {"message": "messages: wrong"}}))
    with pytest.raises(ProviderFailed, match="messages: wrong") as failed:
        await made.client().chat(made.call())
    assert failed.value.kind == "bad_request" and len(made.fake.seen) == 1


async def test_a_model_that_is_not_there_is_named_so(made):
    with pytest.raises(ProviderFailed) as failed:
        await made.client().chat(made.call(model="no-such-model"))
    assert (failed.value.kind, failed.value.code) == ("bad_request", "model_not_found")


async def test_an_error_in_the_middle_is_said_and_the_answer_not_begun_again(made):
    thoughts = 4 if made.kind == "anthropic" else 0  # come before
    made.fake.script.append(Fault(how="error", after=5 + thoughts))
    text = ""
    with pytest.raises(ProviderFailed) as failed:
        async for piece in made.client().stream(made.call()):
            text += piece.text
    assert failed.value.has_begun and 0 < len(text) < len(made.fake.answer) and len(made.fake.seen) == 1
    assert failed.value.kind == "overload"


async def test_what_breaks_before_the_first_piece_is_begun_again(made):
    made.fake.script.append(Fault(how="cut", after=0))
    text, _pieces = await streamed(made.client(), made.call())
    assert text == made.fake.answer and len(made.fake.seen) == 2


@pytest.mark.parametrize("how", ["close", "cancel"])
async def test_who_stops_reading_ends_the_answer_there(made, how):
    made.fake.pause = 0.05
    pieces = made.client().stream(made.call())
    if how == "close":
        first = await anext(pieces)
        assert first.text or first.thought
        await pieces.aclose()
    else:
        task = asyncio.create_task(streamed(made.client(), made.call()))
        await asyncio.sleep(0.15)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    for _ in range(40):
        if made.fake.left:
            break
        await asyncio.sleep(0.05)
    assert made.fake.left == 1


async def test_the_key_goes_to_the_provider_alone_and_never_into_words(made):
    echo = f"bad key {KEY} given, also as {KEY[:14]} and {KEY[-10:]}"
    made.fake.script.append(Fault(400, {"error": {"message": echo}}))
    client = made.client(key=None if made.fake.key else "")
    with pytest.raises(ProviderFailed) as failed:
        await client.chat(made.call())
    if made.fake.key:
        assert "[key]" in str(failed.value)
    assert KEY not in str(failed.value) and KEY not in repr(client) + repr(vars(client))


@pytest.mark.parametrize("count", [-1000, 1e400, 2**70])
async def test_a_count_that_cannot_be_is_an_odd_answer_and_gives_no_budget_back(count):
    async def answer(request):
        usage = {"prompt_tokens": count, "completion_tokens": 1}
        choice = {"message": {"content": "Hello"}, "finish_reason": "stop"}
        return web.json_response({"choices": [choice], "usage": usage})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    with running_app(app) as url, pytest.raises(ProviderFailed) as failed:
        await Custom(Access(KEY, f"{url}/v1"), QUICK).chat(Call("m", HELLO))
    assert failed.value.code == "odd_answer"


async def test_a_refusal_full_of_open_brackets_is_read_in_no_time(made):
    """The loop reads it, and everybody else waits meanwhile."""
    made.fake.script.append(Fault(400, "<html" + "<" * 60_000))
    client = made.client()
    begun = time.process_time()
    with pytest.raises(ProviderFailed):
        await client.chat(made.call())
    assert time.process_time() - begun < 0.5


@pytest.mark.parametrize("name", ["../../api/whoami-v2", "a/..", "a/b/c", "a b", "owner/name/../../x", ""])
async def test_a_models_name_leads_nowhere_else_with_the_key(name):
    with running(FakeOpenAI("huggingface")) as fake:
        client = HuggingFace(Access(fake.key, f"{fake.url}/v1"), QUICK)
        with pytest.raises(ProviderFailed) as failed:
            await client.embed(name, ["x"])
        assert failed.value.kind == "bad_request" and not fake.seen
        assert await client.embed("owner/a.name-1", ["x"]) == [vector_of("x")]
