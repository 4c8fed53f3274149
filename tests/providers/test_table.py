"""Every provider × everything that can come from its server: refusals as they word them, streams however they are cut
and dressed, connections that end or say nothing. One literal table, so that no pair is missing."""

import asyncio
import json

import pytest

from providers.base import Ability, Access, Patience, ProviderFailed
from tests.providers.adapters import HELLO, KINDS, TOOLS, streamed
from tests.providers.fakes import Fault, vector_of

ONCE = Patience(tries=1, first_byte=10, silence=10, total=20)
HASTY = Patience(tries=1, first_byte=0.4, silence=0.4, total=20)
KEY_PAGE = "You can find your API key at https://platform.openai.com/account/api-keys."


def openai_says(message: str, kind: str, code: str | None = None) -> dict:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def anthropic_says(kind: str, message: str) -> dict:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_011C"}


def nvidia_says(status: int, title: str, detail: str = "") -> dict:
    return {"type": "about:blank", "status": status, "title": title} | ({"detail": detail} if detail else {})


def vllm_says(status: int, kind: str, message: str) -> dict:
    return {"object": "error", "message": message, "type": kind, "param": None, "code": status}


TOO_LONG = "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens."
WAIT = {"retry-after": "7"}
# A text in place of a refusal says why there is none of that kind.
REFUSALS: dict[str, dict[str, Fault | str]] = {
    "openai": {
        "auth": Fault(401, openai_says(f"Incorrect API key provided: sk-a***b. {KEY_PAGE}", "invalid_request_error",
                                       "invalid_api_key")),
        "quota": Fault(429, openai_says("You exceeded your current quota, please check your plan and billing details.",
                                        "insufficient_quota", "insufficient_quota")),
        "rate": Fault(429, openai_says("Rate limit reached for gpt-4o-mini on tokens per min (TPM): Limit 200000.",
                                       "tokens", "rate_limit_exceeded"), WAIT),
        "overload": Fault(503, openai_says("The engine is currently overloaded, please try again later",
                                           "server_error")),
        "context": Fault(400, openai_says(TOO_LONG, "invalid_request_error", "context_length_exceeded")),
        "content": Fault(400, openai_says("Invalid prompt: your prompt was flagged as potentially violating our usage "
                                          "policy.", "invalid_request_error", "invalid_prompt")),
        "bad_request": Fault(404, openai_says("The model `x` does not exist.", "invalid_request_error",
                                              "model_not_found")),
    },
    "anthropic": {
        "auth": Fault(401, anthropic_says("authentication_error", "invalid x-api-key")),
        "quota": Fault(400, anthropic_says("invalid_request_error", "Your credit balance is too low to access the "
                                           "Anthropic API. Please go to Plans & Billing to purchase credits.")),
        "rate": Fault(429, anthropic_says("rate_limit_error", "This request would exceed your account's rate limit. "
                                          "Please try again later."), WAIT),
        "overload": Fault(529, anthropic_says("overloaded_error", "Overloaded")),
        "context": Fault(400, anthropic_says("invalid_request_error", "prompt is too long: 210000 tokens > 200000 "
                                             "maximum")),
        "content": Fault(400, anthropic_says("invalid_request_error", "Output blocked by content filtering policy")),
        "bad_request": Fault(404, anthropic_says("not_found_error", "model: x")),
    },
    "nvidia": {
        "auth": Fault(403, nvidia_says(403, "Forbidden", "Authorization failed")),
        "quota": Fault(402, nvidia_says(402, "Payment Required", "Account 'abc': Cloud credits expired - Please "
                                        "contact NVIDIA representatives")),
        "rate": Fault(429, nvidia_says(429, "Too Many Requests"), WAIT),
        "overload": Fault(503, nvidia_says(503, "Service Unavailable", "ResourceExhausted: Worker local total request "
                                           "limit reached (16/16)")),
        "context": Fault(400, vllm_says(400, "BadRequestError", TOO_LONG)),
        "content": "its catalogue filters by models of its own, which answer in words",
        "bad_request": Fault(404, nvidia_says(404, "Not Found", "Function '0f0f': Not found for account 'abc'")),
    },
    "huggingface": {
        "auth": Fault(401, {"error": "Invalid username or password."}),
        "quota": Fault(402, {"error": "You have exceeded your monthly included credits for Inference Providers. "
                             "Subscribe to PRO to get 20x more monthly included credits."}),
        "rate": Fault(429, {"error": "Too Many Requests"}, WAIT),
        "overload": Fault(503, {"error": "Model owner/model is currently loading", "estimated_time": 20.0}),
        "context": Fault(422, {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. "
                               "Given: 5000 `inputs` tokens and 100 `max_new_tokens`", "error_type": "validation"}),
        "content": Fault(400, openai_says("The prompt was blocked.", "invalid_request_error", "content_filter")),
        "bad_request": Fault(400, openai_says("The requested model 'x' does not exist", "invalid_request_error",
                                              "model_not_found")),
    },
    "custom": {
        "auth": Fault(401, {"error": "Unauthorized"}),
        "quota": Fault(400, openai_says("Budget has been exceeded! Current cost: 12.1, Max budget: 10.0",
                                        "budget_exceeded", "400")),
        "rate": Fault(429, {"detail": "Too Many Requests"}, WAIT),
        "overload": Fault(503, "upstream connect error or disconnect/reset before headers"),
        "context": Fault(400, vllm_says(400, "BadRequestError", TOO_LONG)),
        "content": Fault(400, openai_says("The response was filtered due to the prompt triggering the content "
                                          "management policy.", "invalid_request_error")),
        "bad_request": Fault(404, vllm_says(404, "NotFoundError", "The model `x` does not exist.")),
    },
    "ollama": {
        "auth": Fault(401, {"error": "unauthorized"}),
        "quota": Fault(429, {"error": "you (alice) have reached your weekly usage limit, upgrade for higher limits: "
                             "https://ollama.com/upgrade"}),
        "rate": Fault(429, {"error": "too many concurrent requests"}, WAIT),
        "overload": Fault(503, {"error": "server busy, please try again.  maximum pending requests exceeded"}),
        "context": Fault(400, {"error": "the input length exceeds the context length"}),
        "content": "it has no rules of its own",
        "bad_request": Fault(404, {"error": "model 'x' not found"}),
    },
}  # fmt: skip
FAILURES = ("auth", "quota", "rate", "overload", "context", "content", "bad_request")


# --- streams that are odd, and allowed ---------------------------------------------------------------------------
def with_comments(events: list[bytes]) -> list[bytes]:
    """What keeps proxies awake: comments, and lines with nothing."""
    return [piece for event in events for piece in (b": OPENROUTER PROCESSING\n\n", b"\n", event)]


def by_crlf(events: list[bytes]) -> list[bytes]:
    return [event.replace(b"\n", b"\r\n") for event in events]


def with_empty_lines(events: list[bytes]) -> list[bytes]:
    return [b"\n" + event for event in events]


def without_done(events: list[bytes]) -> list[bytes]:
    assert events[-1] == b"data: [DONE]\n\n"
    return events[:-1]


def all_at_once(events: list[bytes]) -> list[bytes]:
    return [b"".join(events)]


def without_the_last_line(events: list[bytes]) -> list[bytes]:
    return [*events[:-1], events[-1].rstrip(b"\n")]


def doubled(marks: bytes, change):
    """Before each event with these marks comes the same one, changed to say nothing."""

    def dress(events: list[bytes]) -> list[bytes]:
        return [
            piece for event in events for piece in ([change(event), event] if marks in event else [event])
        ]

    return dress


def emptied(event: bytes) -> bytes:
    """The event of a word, with an empty one."""
    head, brace, rest = event.partition(b"{")
    body = json.loads(brace + rest)
    place = body.get("message") or body.get("delta") or body["choices"][0]["delta"]
    place.pop("tool_calls", None)
    place["text" if "text" in place else "content"] = ""
    return head + json.dumps(body).encode() + (b"\n\n" if head else b"\n")


def with_pings(events: list[bytes]) -> list[bytes]:
    ping = b'event: ping\ndata: {"type": "ping"}\n\n'
    return [events[0], *(piece for event in events[1:-1] for piece in (ping, event)), events[-1]]


def with_what_is_new(events: list[bytes]) -> list[bytes]:
    """Events and blocks that were invented after this adapter was written."""
    new = b'event: weather\ndata: {"type": "weather", "sun": true}\n\n'
    return [events[0], new, *events[1:]]


OPENAIS = {
    "plain": list, "comments": with_comments, "line ends by CR LF": by_crlf, "no [DONE]": without_done,
    "all at once": all_at_once,
    "no last empty line": without_the_last_line, "empty pieces": doubled(b'"content": "', emptied),
}  # fmt: skip
DRESSES = {
    "openai": OPENAIS, "nvidia": OPENAIS, "huggingface": OPENAIS, "custom": OPENAIS,
    "anthropic": {
        "plain": list, "comments": with_comments, "line ends by CR LF": by_crlf, "all at once": all_at_once,
        "pings": with_pings,
        "no last empty line": without_the_last_line, "empty pieces": doubled(b'"text_delta"', emptied),
        "new kinds of events": with_what_is_new,
    },
    "ollama": {
        "plain": list, "empty lines": with_empty_lines, "line ends by CR LF": by_crlf, "all at once": all_at_once,
        "no last end of line": without_the_last_line, "empty pieces": doubled(b'"done": false', emptied),
    },
}  # fmt: skip
# After so many events words have come, and more are to come.
IN_THE_MIDDLE = {"anthropic": 9}


def test_no_provider_and_no_failure_is_left_out():
    assert set(REFUSALS) == set(DRESSES) == set(KINDS)
    for kind, refusals in REFUSALS.items():
        assert tuple(refusals) == FAILURES, kind


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_refusal_is_known_for_what_it_is_however_it_was_asked(made, failure):
    refusal = REFUSALS[made.kind][failure]
    if isinstance(refusal, str):
        pytest.skip(f"{made.kind}: {refusal}")
    client = made.client(patience=ONCE)
    ways = [client.chat(made.call()), streamed(client, made.call()), client.models()]
    if Ability.EMBEDDINGS in client.abilities:
        ways.append(client.embed(made.model, ["x"]))
    if made.kind == "nvidia":  # servers of one's own are asked at several places
        ways.append(client.rerank(made.model, "x", ["a", "b"]))
    for way in ways:
        made.fake.script.append(refusal)
        with pytest.raises(ProviderFailed) as failed:
            await way
        problem = failed.value
        assert (problem.kind, problem.has_begun, made.fake.script) == (
            failure,
            False,
            type(made.fake.script)(),
        )
        assert problem.retry_after == (7 if failure == "rate" else None)
        assert problem.may_retry == (failure in ("rate", "overload"))
    assert len(made.fake.seen) == len(ways)


@pytest.mark.parametrize("split", [0, 1])
async def test_a_stream_that_is_odd_but_allowed_gives_the_same_pieces(made, split):
    """`split` 1: every letter of more than one byte is cut, and every CR from its LF."""
    call = made.call(tools=TOOLS)
    for name, dress in DRESSES[made.kind].items():
        made.fake.dress, made.fake.split = dress, split
        text, pieces = await streamed(made.client(), made.call())
        assert text == made.fake.answer, name
        assert (pieces[-1].finish_reason, pieces[-1].usage) == ("stop", made.usage), name
        assert all(piece.text or piece.thought for piece in pieces[:-1]) and len(pieces) > 4, name
        _text, pieces = await streamed(made.client(), call)
        arguments = [json.loads(one["function"]["arguments"]) for one in pieces[-1].tool_calls]
        assert arguments == [{"place": "Köln", "n": 0}, {"place": "Köln", "n": 1}], name


async def test_a_slow_stream_is_read_to_its_end_while_something_comes(made):
    """All of it takes longer than the longest silence."""
    made.fake.pause = 0.08
    patience = Patience(tries=1, first_byte=5, silence=0.5, total=20)
    begun = asyncio.get_running_loop().time()
    text, _pieces = await streamed(made.client(patience=patience), made.call())
    assert text == made.fake.answer and asyncio.get_running_loop().time() - begun > 0.5


@pytest.mark.parametrize("how", ["cut", "end", "silent"])
@pytest.mark.parametrize("where", ["first", "middle", "last"])
async def test_a_stream_that_does_not_come_to_its_end_is_no_whole_answer(made, how, where):
    """`last`: all words have come, and what says that they are all has not."""
    is_dispensable = made.kind != "ollama" and made.kind != "anthropic"
    last = -3 if is_dispensable else -2 if made.kind == "anthropic" else -1  # usage and [DONE] may be missing
    after = {"first": 0, "middle": IN_THE_MIDDLE.get(made.kind, 5), "last": last}[where]
    made.fake.script.append(Fault(how=how, after=after))
    text, patience = "", HASTY if how == "silent" else ONCE
    with pytest.raises(ProviderFailed) as failed:
        async for piece in made.client(patience=patience).stream(made.call()):
            text += piece.text
    assert (failed.value.kind, failed.value.has_begun) == ("network", where != "first")
    assert {
        "first": not text,
        "middle": 0 < len(text) < len(made.fake.answer),
        "last": text == made.fake.answer,
    }[where]


async def test_nobody_there_and_one_who_only_listens_are_failures_of_the_network(made):
    adapter, path = made.adapter, made.path
    gone = adapter(Access(made.fake.key, f"http://127.0.0.1:9{path}"), ONCE)
    listening = await asyncio.start_server(lambda _reader, _writer: asyncio.sleep(5), "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    mute = adapter(
        Access(made.fake.key, f"http://127.0.0.1:{port}{path}"), Patience(tries=1, first_byte=0.2, total=0.3)
    )
    for client in (gone, mute):
        for way in (client.chat(made.call()), streamed(client, made.call())):
            with pytest.raises(ProviderFailed) as failed:
                await way
            assert failed.value.kind == "network" and failed.value.may_retry
    listening.close()


async def test_what_a_provider_can_it_does_and_what_not_it_says(made):
    client = made.client()
    assert Ability.CHAT in client.abilities and Ability.TOOLS in client.abilities
    assert [model.id for model in await client.models()]
    if Ability.EMBEDDINGS in client.abilities:
        assert await client.embed(made.model, ["Köln", ""]) == [vector_of("Köln"), vector_of("")]
        return
    with pytest.raises(ProviderFailed, match="does not offer") as refused:
        await client.embed(made.model, ["Köln"])
    assert refused.value.code == "not_offered"


def test_the_table_holds_what_was_asked_first():
    """The question of all these tests has a system message, so that each adapter has to place it."""
    assert HELLO[0]["role"] == "system"
