"""Our stand-ins against the providers' own clients: what these read without complaint, the real servers could say."""

import json

import pytest

from tests.providers.fakes import KEY, Fault, vector_of

HELLO = [{"role": "user", "content": "Hello"}]
FUNCTION = {"name": "weather", "description": "d", "parameters": {"type": "object", "properties": {}}}


async def test_openais_own_client_reads_our_stand_in(openai):
    from openai import AsyncOpenAI, AuthenticationError, RateLimitError

    async with AsyncOpenAI(api_key=KEY, base_url=f"{openai.url}/v1", max_retries=0) as client:
        whole = await client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
        assert (
            whole.choices[0].message.content == openai.answer
            and whole.usage.prompt_tokens_details.cached_tokens == 8
        )
        stream = await client.chat.completions.create(
            model="gpt-4o-mini", messages=HELLO, stream=True, stream_options={"include_usage": True},
            tools=[{"type": "function", "function": FUNCTION}],
        )  # fmt: skip
        chunks = [chunk async for chunk in stream]
        arguments = "".join(
            call.function.arguments or ""
            for c in chunks
            for x in c.choices
            for call in x.delta.tool_calls or []
        )
        assert json.loads(arguments) == {"place": "Köln", "n": 0} and chunks[-1].usage.total_tokens == 29
        made = await client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
        assert [round(x, 3) for x in sorted(made.data, key=lambda r: r.index)[1].embedding] == [
            round(x, 3) for x in vector_of("b")
        ]
        assert "gpt-4o-mini" in [model.id async for model in await client.models.list()]
        openai.script.append(Fault(429, {"error": {"message": "slow", "code": "rate_limit_exceeded"}}))
        with pytest.raises(RateLimitError):
            await client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    async with AsyncOpenAI(api_key="sk-wrong", base_url=f"{openai.url}/v1", max_retries=0) as client:
        with pytest.raises(AuthenticationError):
            await client.models.list()


async def test_anthropics_own_client_reads_our_stand_in(anthropic):
    from anthropic import APIStatusError, AsyncAnthropic, AuthenticationError

    async with AsyncAnthropic(api_key=KEY, base_url=anthropic.url, max_retries=0) as client:
        whole = await client.messages.create(model="claude-haiku-4-5", max_tokens=9, messages=HELLO)
        assert whole.content[-1].text == anthropic.answer and whole.usage.cache_read_input_tokens == 5
        async with client.messages.stream(
            model="claude-haiku-4-5", max_tokens=9, messages=HELLO,
            tools=[{"name": "weather", "input_schema": FUNCTION["parameters"]}],
        ) as stream:  # fmt: skip
            final = await stream.get_final_message()
        assert final.stop_reason == "tool_use" and final.content[1].input == {"place": "Köln", "n": 0}
        assert final.usage.output_tokens == 17
        assert len([model async for model in await client.models.list()]) == 3
        anthropic.script.append(Fault(how="error", after=4))
        with pytest.raises(APIStatusError, match="Overloaded"):
            async with client.messages.stream(
                model="claude-haiku-4-5", max_tokens=9, messages=HELLO
            ) as stream:
                await stream.get_final_message()
    async with AsyncAnthropic(api_key="wrong", base_url=anthropic.url, max_retries=0) as client:
        with pytest.raises(AuthenticationError):
            await client.models.list()


async def test_ollamas_own_client_reads_our_stand_in(ollama):
    from ollama import AsyncClient, ResponseError

    client = AsyncClient(host=ollama.url)
    whole = await client.chat(model="llama3.2", messages=HELLO)
    assert whole.message.content == ollama.answer and whole.eval_count == 11
    parts = [part async for part in await client.chat(model="llama3.2", messages=HELLO, stream=True)]
    assert (
        "".join(part.message.content for part in parts) == ollama.answer and parts[-1].done_reason == "stop"
    )
    called = await client.chat(
        model="llama3.2", messages=HELLO, tools=[{"type": "function", "function": FUNCTION}]
    )
    assert called.message.tool_calls[0].function.arguments == {"place": "Köln", "n": 0}
    assert list((await client.embed(model="nomic-embed-text", input=["a"])).embeddings[0]) == vector_of("a")
    assert [model.model for model in (await client.list()).models] == ollama.models
    with pytest.raises(ResponseError, match="not found"):
        await client.chat(model="nobody", messages=HELLO)
