"""Ollama: its models are listed, pulled, made from a Modelfile and asked."""

import pytest

from serving.backends.base import AnswerBroke, NotSupported, Target
from serving.backends.modelfile import BadModelfile, read_modelfile
from serving.backends.ollama import OllamaBackend
from serving.protocol import ApiError, parse_chat_request
from tests.serving.fake_ollama import running_ollama

ASK = parse_chat_request({"model": "x", "messages": [{"role": "user", "content": "Hi"}]})
MODELFILE = '''# made by Apex
FROM ./merged.gguf
TEMPLATE """{{ .Prompt }}
answer:"""
SYSTEM "You are kind."
PARAMETER temperature 0.5
PARAMETER stop "<|im_end|>"
PARAMETER stop "3"
PARAMETER num_ctx 2048
MESSAGE user Is it "far"?
'''


@pytest.fixture
def server():
    with running_ollama() as fake:
        yield fake


@pytest.fixture
def backend(server):
    return OllamaBackend(server.url)


@pytest.fixture
def bundle(tmp_path):
    (tmp_path / "merged.gguf").write_bytes(b"GGUF" + b"x" * 3_000_000)
    return tmp_path


def target(name: str, path="/") -> Target:
    return Target(name, name, path)


async def said(steps) -> list[str]:
    return [status async for status in steps]


async def test_models_are_listed_and_answer(backend):
    assert await backend.is_healthy()
    assert await backend.models() == ["llama3.2:latest"]
    await backend.ensure_loaded(target("llama3.2"))
    answer = await backend.chat(target("llama3.2"), ASK)
    assert (answer.text, answer.finish_reason, answer.usage.prompt_tokens) == ("Hello", "stop", 7)


async def test_a_model_that_is_not_there_is_told_in_openais_code(backend):
    for asked in (backend.ensure_loaded(target("nobody")), backend.chat(target("nobody"), ASK)):
        with pytest.raises(ApiError) as caught:
            await asked
        assert (caught.value.status, caught.value.code) == (404, "model_not_found")


async def test_a_model_is_made_from_a_modelfile_and_its_file_is_sent_once(server, backend, bundle):
    modelfile = read_modelfile(MODELFILE, bundle)
    assert (await said(backend.create("mine", modelfile)))[-1] == "success"
    made = server.models["mine:latest"]
    assert server.blobs[made["files"]["merged.gguf"]] == (bundle / "merged.gguf").read_bytes()
    assert made["template"] == "{{ .Prompt }}\nanswer:"
    assert made["system"] == "You are kind."
    assert made["parameters"] == {"temperature": 0.5, "stop": ["<|im_end|>", "3"], "num_ctx": 2048}
    assert made["messages"] == [{"role": "user", "content": 'Is it "far"?'}]
    await said(backend.create("mine-too", modelfile))
    assert server.sent == 1
    assert set(await backend.models()) == {"llama3.2:latest", "mine:latest", "mine-too:latest"}


async def test_an_adapter_goes_along_with_the_base_that_it_names(server, backend, bundle):
    (bundle / "adapter").mkdir()
    (bundle / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")
    (bundle / "adapter" / "adapter_config.json").write_text("{}")
    (bundle / "adapter" / "run.py").write_text("never sent")
    await said(backend.create("mine", read_modelfile("FROM llama3.2\nADAPTER ./adapter", bundle)))
    made = server.models["mine:latest"]
    assert made["from"] == "llama3.2"
    assert set(made["adapters"]) == {"adapter_model.safetensors", "adapter_config.json"}


async def test_what_goes_wrong_in_the_middle_is_told(backend, bundle):
    with pytest.raises(ApiError) as caught:
        await said(backend.create("mine", read_modelfile("FROM nobody", bundle)))
    assert "file does not exist" in caught.value.message
    with pytest.raises(ApiError, match="file does not exist"):
        await said(backend.pull("nobody"))
    with pytest.raises(AnswerBroke, match="last word was 'pulling abc'"):
        await said(backend.pull("llama3.2"))  # this one stops without a word


async def test_models_are_pulled_and_deleted(backend):
    assert (await said(backend.pull("qwen3:0.6b")))[-1] == "success"
    assert "qwen3:0.6b" in await backend.models()
    for _ in range(2):  # the second time there is none any more
        await backend.delete("qwen3:0.6b")
    assert "qwen3:0.6b" not in await backend.models()


async def test_an_adapter_by_itself_is_refused_with_advice(backend, tmp_path):
    with pytest.raises(NotSupported, match="Ollama bundle"):
        await backend.load_adapter("a1-v1", tmp_path)
    with pytest.raises(NotSupported, match="token ids"):
        await backend.token_ids("llama3.2", [])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no FROM"),
        ("SYSTEM hello", "no FROM"),
        ("FROM ../secret.gguf", "leads out"),
        ("FROM /etc/passwd", "leads out"),
        ("FROM ./missing.gguf", "no file ./missing.gguf"),
        ("FROM x\nRUN rm -rf /", "Line 2: RUN is no instruction"),
        ("FROM x\nPARAMETER stop", "PARAMETER stop has no value"),
        ('FROM x\nSYSTEM """never closed', "Line 2"),
    ],
)
def test_a_modelfile_that_makes_no_sense_is_refused_with_its_line(bundle, text, words):
    with pytest.raises(BadModelfile, match=words):
        read_modelfile(text, bundle)
