"""Where the providers differ from each other, and models from their older sisters."""

import asyncio

import pytest

from providers.backends.anthropic import Anthropic
from providers.backends.common import NOT_TAKEN
from providers.backends.custom import Custom
from providers.backends.nvidia import Nvidia
from providers.backends.ollama import Ollama
from providers.backends.openai import OpenAI
from providers.base import Access, Call, Patience, ProviderFailed
from tests.providers.fake_openai import FakeOpenAI
from tests.providers.fakes import KEY, Fault, running

pytestmark = pytest.mark.usefixtures("master")
QUICK = Patience(tries=1, first_byte=3, silence=1, total=5)
HELLO = [{"role": "user", "content": "Hello"}]
PICTURE = "data:image/png;base64,iVBORw0KGgo="


@pytest.fixture(autouse=True)
def forgotten():
    NOT_TAKEN.clear()


def at(adapter, fake, path="/v1", patience=QUICK):
    return adapter(Access(fake.key, fake.url + path), patience)


# --- OpenAI and its kind ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("model", ["gpt-5.1", "o3"])
async def test_models_that_think_get_neither_temperature_nor_the_old_limit(openai, model):
    call = Call(model, HELLO, max_tokens=9, temperature=0.5, top_p=0.5)
    assert (await at(OpenAI, openai).chat(call)).text == openai.answer
    body = openai.seen[-1].body
    assert body["max_completion_tokens"] == 9 and not {"max_tokens", "temperature", "top_p"} & set(body)
    assert len(openai.seen) == 1


@pytest.mark.parametrize("is_stream", [True, False])
async def test_what_a_model_refuses_is_left_out_and_remembered(openai, is_stream):
    openai.is_strict = True
    client = at(Custom, openai)
    call = Call("gpt-4o-mini", HELLO, max_tokens=9, temperature=0.5)
    for tries in (3, 4):  # two refusals and an answer, then one answer
        if is_stream:
            assert "".join([piece.text async for piece in client.stream(call)]) == openai.answer
        else:
            assert (await client.chat(call)).text == openai.answer
        assert len(openai.seen) == tries
    assert openai.seen[-1].body["max_completion_tokens"] == 9 and "temperature" not in openai.seen[-1].body


async def test_a_stream_without_usage_ends_all_the_same(openai):
    openai.tells_usage = False
    pieces = [piece async for piece in at(Custom, openai).stream(Call("gpt-4o-mini", HELLO))]
    assert pieces[-1].finish_reason == "stop" and pieces[-1].usage is None


async def test_an_error_in_mid_stream_keeps_its_kind(openai):
    openai.script.append(
        Fault(how="error", after=4, body={"error": {"message": "filtered", "code": "content_filter"}})
    )
    with pytest.raises(ProviderFailed, match="filtered") as failed:
        [piece async for piece in at(OpenAI, openai).stream(Call("gpt-4o-mini", HELLO))]
    assert failed.value.kind == "content" and failed.value.has_begun


async def test_an_answer_that_is_no_json_is_said_to_be_odd(openai):
    openai.script.append(Fault(200, "<html>a captive portal</html>"))
    with pytest.raises(ProviderFailed, match="something else") as failed:
        await at(OpenAI, openai).chat(Call("gpt-4o-mini", HELLO))
    assert failed.value.code == "odd_answer"


async def test_a_packed_answer_is_not_unpacked(openai):
    openai.script.append(Fault(200, "x" * 100, {"Content-Encoding": "gzip"}))
    with pytest.raises(ProviderFailed) as failed:
        await at(OpenAI, openai).chat(Call("gpt-4o-mini", HELLO))
    assert failed.value.code == "odd_answer"
    assert openai.seen[-1].headers["accept-encoding"] == "identity"


async def test_a_server_that_is_silent_is_left_after_a_while(openai):
    openai.script.append(Fault(how="silent", after=0))
    patience = Patience(tries=1, first_byte=0.3, silence=0.3)
    began = asyncio.get_running_loop().time()
    with pytest.raises(ProviderFailed, match="0.3 s") as failed:
        [piece async for piece in at(OpenAI, openai, patience=patience).stream(Call("gpt-4o-mini", HELLO))]
    assert failed.value.kind == "network" and asyncio.get_running_loop().time() - began < 2


async def test_nobody_there_is_a_network_failure():
    client = OpenAI(Access(KEY, "http://127.0.0.1:9/v1"), Patience(tries=2, first_wait=0.01))
    with pytest.raises(ProviderFailed, match="cannot be reached") as failed:
        await client.chat(Call("gpt-4o-mini", HELLO))
    assert failed.value.kind == "network" and failed.value.status == 502


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path):
    from tests.providers.tls import running_tls

    with running_tls(tmp_path) as url:
        client = OpenAI(Access(KEY, f"{url}/v1"), Patience(tries=3, first_wait=0.01))
        with pytest.raises(ProviderFailed, match="certificate") as failed:
            await client.chat(Call("gpt-4o-mini", HELLO))
    assert failed.value.kind == "network" and not failed.value.may_retry


async def test_nvidias_vectors_tell_questions_from_texts():
    with running(FakeOpenAI("nvidia")) as fake:
        client = at(Nvidia, fake)
        await client.embed("nv-embed", ["text"])
        assert fake.seen[-1].body["input_type"] == "passage"
        await client.embed("nv-embed", ["question"], is_question=True)
        assert fake.seen[-1].body["input_type"] == "query"


async def test_a_nvidia_account_without_the_small_model_still_passes_the_check():
    with running(FakeOpenAI("nvidia")) as fake:
        fake.models.remove("meta/llama-3.1-8b-instruct")
        assert "accepts the key" in await at(Nvidia, fake).check()


# --- Anthropic ---------------------------------------------------------------------------------------------------
def claude(fake):
    return at(Anthropic, fake, "")


async def test_results_of_tools_stand_in_one_turn_before_what_the_user_says(anthropic):
    calls = [
        {"id": f"toolu_{i}", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
        for i in (1, 2)
    ]
    messages = [
        {"role": "system", "content": "One."}, {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "toolu_1", "content": "a"},
        {"role": "tool", "tool_call_id": "toolu_2", "content": ""},
        {"role": "user", "content": "And now?"}, {"role": "system", "content": "Two."},
    ]  # fmt: skip
    await claude(anthropic).chat(Call("claude-haiku-4-5", messages))
    body = anthropic.seen[-1].body
    assert body["system"] == "One.\n\nTwo."
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    assert [block["type"] for block in body["messages"][2]["content"]] == [
        "tool_result",
        "tool_result",
        "text",
    ]
    assert body["messages"][1]["content"][0]["input"] == {"a": 1}


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", {"type": "auto"}), ("required", {"type": "any"}), ("none", {"type": "none"}),
        ({"type": "function", "function": {"name": "f"}}, {"type": "tool", "name": "f"}),
    ],
)  # fmt: skip
async def test_the_choice_of_tools_is_translated(anthropic, choice, sent):
    tools = [{"type": "function", "function": {"name": "f"}}]
    await claude(anthropic).chat(Call("claude-haiku-4-5", HELLO, tools=tools, tool_choice=choice))
    body = anthropic.seen[-1].body
    assert body["tool_choice"] == sent
    assert body["tools"] == [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]


async def test_models_that_refuse_sampling_settings_are_asked_without(anthropic):
    call = Call("claude-opus-4-8", HELLO, temperature=0.5, top_p=0.9)
    client = claude(anthropic)
    assert (await client.chat(call)).text == anthropic.answer
    count = len(anthropic.seen)
    assert (await client.chat(call)).text == anthropic.answer
    assert len(anthropic.seen) == count + 1 and not {"temperature", "top_p"} & set(anthropic.seen[-1].body)


async def test_two_sampling_settings_at_once_become_one(anthropic):
    call = Call("claude-haiku-4-5", HELLO, temperature=1.5, top_p=0.9)
    assert (await claude(anthropic).chat(call)).text == anthropic.answer
    assert anthropic.seen[-1].body["temperature"] == 1.0 and "top_p" not in anthropic.seen[-1].body
    assert anthropic.seen[-1].headers["anthropic-version"] == "2023-06-01"  # the last one that knows it


async def test_pictures_and_schemas_have_their_own_shapes(anthropic):
    parts = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": PICTURE}}]
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    call = Call("claude-haiku-4-5", [{"role": "user", "content": parts}], response_format=wanted)
    await claude(anthropic).chat(call)
    body = anthropic.seen[-1].body
    source = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    assert body["messages"][0]["content"][1] == {"type": "image", "source": source}
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": schema}}
    with pytest.raises(ProviderFailed, match="schema"):
        await claude(anthropic).chat(Call("claude-haiku-4-5", HELLO, response_format={"type": "json_object"}))


async def test_an_overload_in_mid_stream_is_named_so(anthropic):
    anthropic.script.append(Fault(how="error", after=9))
    with pytest.raises(ProviderFailed, match="Overloaded") as failed:
        [piece async for piece in claude(anthropic).stream(Call("claude-haiku-4-5", HELLO))]
    assert failed.value.kind == "overload" and failed.value.has_begun


# --- Ollama ------------------------------------------------------------------------------------------------------
async def test_ollama_says_when_a_question_is_too_long(ollama):
    call = Call("llama3.2", [{"role": "user", "content": "x" * 40_000}])
    with pytest.raises(ProviderFailed, match="context length") as failed:
        await at(Ollama, ollama, "").chat(call)
    assert failed.value.kind == "context"


async def test_ollama_gets_names_with_results_and_pictures_apart(ollama):
    made = [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}]
    parts = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": PICTURE}}]
    messages = [
        {"role": "user", "content": parts}, {"role": "assistant", "content": None, "tool_calls": made},
        {"role": "tool", "tool_call_id": "call_1", "content": "12"},
    ]  # fmt: skip
    await at(Ollama, ollama, "").chat(Call("llama3.2", messages, response_format={"type": "json_object"}))
    body = ollama.seen[-1].body
    assert body["messages"][0] == {"role": "user", "content": "What?", "images": ["iVBORw0KGgo="]}
    assert body["messages"][1]["tool_calls"][0]["function"] == {"name": "f", "arguments": {"a": 1}}
    assert body["messages"][2]["tool_name"] == "f" and body["format"] == "json"


async def test_ollama_cannot_be_made_to_call_a_tool(ollama):
    tools = [{"type": "function", "function": {"name": "f"}}]
    client = at(Ollama, ollama, "")
    with pytest.raises(ProviderFailed, match="tool_choice"):
        await client.chat(Call("llama3.2", HELLO, tools=tools, tool_choice="required"))
    await client.chat(Call("llama3.2", HELLO, tools=tools, tool_choice="none"))
    assert "tools" not in ollama.seen[-1].body
