"""Our stand-ins against the providers' own clients, in their strictest mode: what these read without complaint, the
real servers could say. Every answer and every event of a stream is read, plain and dressed as in `test_table`."""

import dataclasses
import json
import types
import typing

import pytest

from tests.providers.fake_openai import FakeOpenAI
from tests.providers.fakes import KEY, Fault, running, vector_of
from tests.providers.test_table import DRESSES, REFUSALS

HELLO = [{"role": "user", "content": "Hello"}]
FUNCTION = {"name": "weather", "description": "d", "parameters": {"type": "object", "properties": {}}}
TOOLS = [{"type": "function", "function": FUNCTION}]
KÖLN = {"place": "Köln", "n": 0}
# Hugging Face's own client splits lines by itself and takes no comments; Ollama's wants no empty lines.
NOT_FOR_THEIRS = {"huggingface": {"comments"}, "ollama": {"empty lines"}}


def dresses(kind: str):
    for name, dress in DRESSES[kind].items():
        if name not in NOT_FOR_THEIRS.get(kind, ()):
            yield name, dress


@pytest.fixture(params=["openai", "nvidia", "custom"])
def one_of_openais_kind(request):
    with running(FakeOpenAI(request.param if request.param == "nvidia" else "openai")) as fake:
        yield request.param, fake


def openais_client(fake, key=KEY, is_strict=True):
    from openai import AsyncOpenAI

    return AsyncOpenAI(
        api_key=key, base_url=f"{fake.url}/v1", max_retries=0, _strict_response_validation=is_strict
    )


async def test_openais_own_client_reads_each_answer_and_event(one_of_openais_kind):
    kind, fake = one_of_openais_kind
    model = "meta/llama-3.1-8b-instruct" if kind == "nvidia" else "gpt-4o-mini"
    # NVIDIA's models want to know whether a text looks or is found; that is beside OpenAI's fields.
    more = {"extra_body": {"input_type": "query"}} if kind == "nvidia" else {}
    async with openais_client(fake) as client:
        whole = await client.chat.completions.create(model=model, messages=HELLO)
        assert whole.choices[0].message.content == fake.answer
        assert whole.usage.prompt_tokens_details.cached_tokens == 8
        called = await client.chat.completions.create(model=model, messages=HELLO, tools=TOOLS)
        assert json.loads(called.choices[0].message.tool_calls[0].function.arguments) == KÖLN
        for name, dress in dresses(kind):
            fake.dress = dress
            for tools in (None, TOOLS):
                stream = await client.chat.completions.create(
                    model=model, messages=HELLO, stream=True, stream_options={"include_usage": True},
                    **({"tools": tools} if tools else {}),
                )  # fmt: skip
                chunks = [chunk async for chunk in stream]
                deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
                calls = [call for delta in deltas for call in delta.tool_calls or []]
                if tools:
                    assert json.loads("".join(call.function.arguments or "" for call in calls)) == KÖLN, name
                else:
                    assert "".join(delta.content or "" for delta in deltas) == fake.answer, name
                assert chunks[-1].usage.total_tokens == 29, name
        # As it asks by itself, it is sent bytes, which its own strict mode does not expect.
        for asker, how in (
            (client, {"encoding_format": "float"}),
            (openais_client(fake, is_strict=False), {}),
        ):
            made = await asker.embeddings.create(
                model="text-embedding-3-small", input=["a", "b"], **how, **more
            )
            found = sorted(made.data, key=lambda row: row.index)[1].embedding
            assert [round(x, 3) for x in found] == [round(x, 3) for x in vector_of("b")]
        assert model in [each.id async for each in await client.models.list()]


async def test_openais_own_client_knows_the_refusals(openai):
    from openai import APIStatusError, AuthenticationError, RateLimitError

    expected = {"auth": AuthenticationError, "quota": RateLimitError, "rate": RateLimitError}
    async with openais_client(openai) as client:
        for failure, refusal in REFUSALS["openai"].items():
            openai.script.append(refusal)
            with pytest.raises(expected.get(failure, APIStatusError)) as refused:
                await client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
            assert refused.value.code == refusal.body["error"]["code"] and refused.value.body["message"], (
                failure
            )
    async with openais_client(openai, "sk-wrong") as client:
        with pytest.raises(AuthenticationError):
            await client.models.list()


def anthropics_client(fake, key=KEY):
    from anthropic import AsyncAnthropic

    return AsyncAnthropic(api_key=key, base_url=fake.url, max_retries=0, _strict_response_validation=True)


async def test_anthropics_own_client_reads_each_answer_and_event(anthropic):
    tools = [{"name": "weather", "input_schema": FUNCTION["parameters"]}]
    usual = {"model": "claude-haiku-4-5", "max_tokens": 9, "messages": HELLO}
    async with anthropics_client(anthropic) as client:
        whole = await client.messages.create(**usual)
        assert whole.content[-1].text == anthropic.answer and whole.usage.cache_read_input_tokens == 5
        called = await client.messages.create(**usual, tools=tools)
        assert called.content[-1].input == KÖLN and called.stop_reason == "tool_use"
        for name, dress in dresses("anthropic"):
            if name == "new kinds of events":  # its strict mode knows none
                continue
            anthropic.dress = dress
            for more in ({}, {"tools": tools}):
                async with client.messages.stream(**usual, **more) as stream:
                    final = await stream.get_final_message()
                assert final.usage.output_tokens == 17, name
                if more:
                    assert (final.stop_reason, final.content[1].input) == ("tool_use", KÖLN), name
                else:
                    assert (final.stop_reason, final.content[-1].text) == ("end_turn", anthropic.answer), name
        listed = [model async for model in await client.models.list()]
        assert [model.lifecycle for model in listed] == ["active"] * 3 + ["retired"]


async def test_anthropics_own_client_knows_the_refusals(anthropic):
    from anthropic import APIStatusError, AuthenticationError, RateLimitError

    usual = {"model": "claude-haiku-4-5", "max_tokens": 9, "messages": HELLO}
    expected = {"auth": AuthenticationError, "rate": RateLimitError}
    async with anthropics_client(anthropic) as client:
        for failure, refusal in REFUSALS["anthropic"].items():
            anthropic.script.append(refusal)
            with pytest.raises(expected.get(failure, APIStatusError)) as refused:
                await client.messages.create(**usual)
            assert refused.value.body == refusal.body, failure
        anthropic.script.append(Fault(how="error", after=4))
        with pytest.raises(APIStatusError, match="Overloaded"):
            async with client.messages.stream(**usual) as stream:
                await stream.get_final_message()
    async with anthropics_client(anthropic, "wrong") as client:
        with pytest.raises(AuthenticationError):
            await client.models.list()


async def test_ollamas_own_client_reads_each_answer_and_line(ollama):
    from ollama import AsyncClient

    client = AsyncClient(host=ollama.url)
    whole = await client.chat(model="llama3.2", messages=HELLO)
    assert whole.message.content == ollama.answer and whole.eval_count == 11
    for name, dress in dresses("ollama"):
        ollama.dress = dress
        parts = [part async for part in await client.chat(model="llama3.2", messages=HELLO, stream=True)]
        assert "".join(part.message.content or "" for part in parts) == ollama.answer, name
        assert (parts[-1].done_reason, parts[-1].eval_count) == ("stop", 11), name
        parts = [
            p async for p in await client.chat(model="llama3.2", messages=HELLO, stream=True, tools=TOOLS)
        ]
        calls = [call for part in parts for call in part.message.tool_calls or []]
        assert [call.function.arguments for call in calls] == [KÖLN], name
    called = await client.chat(model="llama3.2", messages=HELLO, tools=TOOLS)
    assert called.message.tool_calls[0].function.arguments == KÖLN
    assert list((await client.embed(model="nomic-embed-text", input=["a"])).embeddings[0]) == vector_of("a")
    assert [model.model for model in (await client.list()).models] == ollama.models


async def test_ollamas_own_client_knows_the_refusals(ollama):
    from ollama import AsyncClient, ResponseError

    client = AsyncClient(host=ollama.url)
    for failure, refusal in REFUSALS["ollama"].items():
        if isinstance(refusal, str):
            continue
        ollama.script.append(refusal)
        with pytest.raises(ResponseError) as refused:
            await client.chat(model="llama3.2", messages=HELLO)
        assert (refused.value.status_code, refused.value.error) == (refusal.status, refusal.body["error"]), (
            failure
        )
    with pytest.raises(ResponseError, match="not found"):
        await client.chat(model="nobody", messages=HELLO)


@pytest.fixture
def huggingface():
    with running(FakeOpenAI("huggingface")) as fake:
        yield fake


async def test_hugging_faces_own_client_reads_each_answer_and_event(huggingface):
    from huggingface_hub import AsyncInferenceClient, HfApi

    usual = {"model": "owner/model:groq", "messages": HELLO}
    async with AsyncInferenceClient(base_url=f"{huggingface.url}/v1", api_key=KEY) as client:
        for more in ({}, {"tools": TOOLS}):
            whole = await client.chat_completion(**usual, **more)
            assert not misfits(whole)
            message = whole.choices[0].message
            if more:
                assert json.loads(message.tool_calls[0].function.arguments) == KÖLN
            else:
                assert (message.content, whole.usage.total_tokens) == (huggingface.answer, 29)
            for name, dress in dresses("huggingface"):
                huggingface.dress = dress
                stream = await client.chat_completion(
                    **usual, **more, stream=True, stream_options={"include_usage": True}
                )
                chunks = [chunk async for chunk in stream]
                assert not [found for chunk in chunks for found in misfits(chunk)], name
                deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
                if more:
                    calls = [call for delta in deltas for call in delta.tool_calls or []]
                    assert json.loads("".join(call.function.arguments for call in calls)) == KÖLN, name
                else:
                    assert "".join(delta.content or "" for delta in deltas) == huggingface.answer, name
                assert chunks[-1].usage.total_tokens == 29, name
    place = f"{huggingface.url}/hf-inference/models/owner/name/pipeline/feature-extraction"
    async with AsyncInferenceClient(model=place, api_key=KEY) as client:
        assert [round(float(x), 4) for x in (await client.feature_extraction("a")).ravel()] == [
            round(x, 4) for x in vector_of("a")
        ]
    assert HfApi(endpoint=huggingface.url, token=KEY).whoami()["name"] == "alice-hf"


async def test_hugging_faces_own_client_knows_the_refusals(huggingface):
    from huggingface_hub import AsyncInferenceClient
    from huggingface_hub.errors import HfHubHTTPError

    async with AsyncInferenceClient(base_url=f"{huggingface.url}/v1", api_key=KEY) as client:
        for failure, refusal in REFUSALS["huggingface"].items():
            huggingface.script.append(refusal)
            with pytest.raises(HfHubHTTPError) as refused:
                await client.chat_completion(model="owner/model:groq", messages=HELLO)
            assert refused.value.response.status_code == refusal.status, failure


def misfits(value, expected=None, path="") -> list[str]:
    """Where a value of Hugging Face's types is none of what its fields say: their client checks nothing."""
    if dataclasses.is_dataclass(value):
        hints = typing.get_type_hints(type(value))
        fields = [each.name for each in dataclasses.fields(value)]
        return [
            found for name in fields for found in misfits(getattr(value, name), hints[name], f"{path}.{name}")
        ]
    kinds = typing.get_args(expected) if isinstance(expected, types.UnionType) else (expected,)
    for kind in kinds:
        if typing.get_origin(kind) is list and isinstance(value, list):
            (inner,) = typing.get_args(kind)
            return [found for at, each in enumerate(value) for found in misfits(each, inner, f"{path}[{at}]")]
    plain = tuple(
        kind for kind in kinds if isinstance(kind, type) and not isinstance(kind, types.GenericAlias)
    )
    return [] if isinstance(value, plain) else [f"{path} is {value!r}, not {expected}"]


def test_what_does_not_fit_is_found():
    from huggingface_hub import ChatCompletionStreamOutput

    told = {
        "id": 7,
        "created": 1,
        "model": "m",
        "system_fingerprint": "f",
        "choices": [{"index": 0, "delta": {}}],
    }
    found = misfits(ChatCompletionStreamOutput.parse_obj_as_instance(told))
    assert [each.partition(" ")[0] for each in found] == [".choices[0].delta.role", ".id"]
