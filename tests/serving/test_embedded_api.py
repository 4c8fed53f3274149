"""What the embedded process offers beside plain chat, in the shapes of OpenAI and vLLM; asked over its socket."""

import asyncio
import json
import threading
import time
from pathlib import Path

import pytest

from serving.backends.base import AdapterRefused
from serving.backends.embedded import EmbeddedBackend
from serving.figures import figures_between, parse
from serving.protocol import ApiError
from tests.serving.embedded_process import running_server
from tests.serving.tiny import CONTEXT

BASE, ONE, TWO = "tiny", "ft:tiny:alice:one.x", "ft:tiny:alice:two.x"
HELLO = [{"role": "user", "content": "Hello, who are you?"}]


def chat(server, status=200, **options):
    body = {"model": BASE, "messages": HELLO, "max_tokens": 12, "temperature": 0} | options
    got, answer = server.call("POST", "/v1/chat/completions", body)
    assert got == status, answer
    return answer


def complete(server, status=200, **options):
    body = {"model": BASE, "prompt": "Hello", "max_tokens": 12, "temperature": 0} | options
    got, answer = server.call("POST", "/v1/completions", body)
    assert got == status, answer
    return answer


@pytest.fixture(scope="module")
def prompt(loaded):
    """The token ids of HELLO, as the server says."""
    return loaded.call("POST", "/tokenize", {"model": ONE, "messages": HELLO})[1]["tokens"]


@pytest.fixture
def backend(loaded):
    return EmbeddedBackend(loaded.url)


def test_token_ids_are_those_of_the_renderer(loaded, tiny, prompt):
    from rendering import Renderer

    renderer = Renderer.from_directory(tiny["base"])
    assert prompt == renderer.render_prompt(HELLO).token_ids
    status, body = loaded.call("POST", "/tokenize", {"model": BASE, "prompt": "abc"})
    assert status == 200
    assert body == {"count": 3, "max_model_len": CONTEXT, "tokens": [64, 65, 66], "token_strs": None} | {
        "tokens": renderer.tokenizer.encode("abc").ids
    }
    assert loaded.call("POST", "/tokenize", {"model": "nobody", "prompt": "abc"})[0] == 404
    assert loaded.call("POST", "/tokenize", {"model": BASE, "messages": "x"})[0] == 400


def test_a_prompt_as_token_ids_is_continued_as_the_chat_is(loaded, prompt):
    for model in (BASE, ONE):
        wanted = chat(loaded, model=model)["choices"][0]["message"]["content"]
        got = complete(loaded, model=model, prompt=prompt)
        assert got["choices"][0]["text"] == wanted
        assert got["usage"]["prompt_tokens"] == len(prompt)
        assert got["object"] == "text_completion"


def test_several_prompts_and_choices_come_in_order(loaded):
    alone = [complete(loaded, prompt=prompt)["choices"][0]["text"] for prompt in ("Good", "Bad")]
    choices = complete(loaded, prompt=["Good", "Bad"], n=2)["choices"]
    assert [choice["index"] for choice in choices] == [0, 1, 2, 3]
    assert [choice["text"] for choice in choices] == [alone[0], alone[0], alone[1], alone[1]]


def test_each_choice_has_a_seed_of_its_own(loaded):
    hot = {"temperature": 1.3, "max_tokens": 20}
    together = [c["message"]["content"] for c in chat(loaded, n=3, seed=40, **hot)["choices"]]
    alone = [chat(loaded, seed=40 + i, **hot)["choices"][0]["message"]["content"] for i in range(3)]
    assert together == alone and len(set(alone)) == 3


def test_chat_tells_log_probabilities_also_in_a_stream(loaded, prompt):
    answer = chat(loaded, model=ONE, logprobs=True, top_logprobs=3)["choices"][0]
    content = answer["logprobs"]["content"]
    assert len(content) == 12
    for token in content:
        assert token["logprob"] == token["top_logprobs"][0]["logprob"] <= 0
        assert len(token["top_logprobs"]) == 3 and token["bytes"]
    body = {"model": ONE, "messages": HELLO, "max_tokens": 12, "temperature": 0, "logprobs": True}
    streamed = [
        token
        for chunk in loaded.events(body)
        for choice in chunk["choices"]
        for token in (choice["logprobs"] or {"content": []})["content"]
    ]
    assert [token["token"] for token in streamed] == [token["token"] for token in content]
    assert all(token["top_logprobs"] == [] for token in streamed)


def test_a_stream_of_several_choices_holds_what_each_says(loaded):
    body = {"model": TWO, "messages": HELLO, "max_tokens": 12, "n": 2, "seed": 3, "temperature": 1}
    whole = [choice["message"]["content"] for choice in chat(loaded, **body)["choices"]]
    texts, reasons = ["", ""], [None, None]
    for chunk in loaded.events(body):
        for choice in chunk["choices"]:
            texts[choice["index"]] += choice["delta"].get("content", "")
            reasons[choice["index"]] = choice["finish_reason"] or reasons[choice["index"]]
    assert texts == whole and None not in reasons


def test_a_prompt_is_scored_in_one_pass_as_it_would_be_written(loaded, prompt):
    written = complete(loaded, model=ONE, prompt=prompt, logprobs=1)["choices"][0]["logprobs"]
    ids = loaded.call("POST", "/tokenize", {"model": ONE, "prompt": "".join(written["tokens"])})
    answer = complete(loaded, model=ONE, prompt=prompt, logprobs=0, echo=True, max_tokens=12)
    echoed = answer["choices"][0]["logprobs"]
    assert ids[0] == 200
    assert len(echoed["tokens"]) == len(prompt) + 12 and echoed["token_logprobs"][0] is None
    assert echoed["token_logprobs"][-12:] == pytest.approx(written["token_logprobs"], abs=1e-4)
    text = answer["choices"][0]["text"]
    assert text.startswith("<|im_start|>user")
    assert echoed["text_offset"][1] == len(echoed["tokens"][0])


def test_prompt_logprobs_have_vllms_shape(loaded):
    answer = complete(loaded, prompt=[5, 6, 7, 8], max_tokens=0, echo=True, prompt_logprobs=2)
    first, *rest = answer["choices"][0]["prompt_logprobs"]
    assert first is None and len(rest) == 3
    for token, entry in zip((6, 7, 8), rest, strict=True):
        assert {one["rank"] for one in entry.values()} >= {1, 2}
        assert set(entry[str(token)]) == {"logprob", "rank", "decoded_token"}
    assert answer["usage"]["completion_tokens"] == 0


def test_a_long_prompt_is_scored_in_pieces_as_in_one(loaded, tiny):
    import torch
    from transformers import AutoModelForCausalLM

    ids = [number * 7 % 250 for number in range(CONTEXT - 1)]
    entries = complete(loaded, prompt=ids, max_tokens=1, prompt_logprobs=0)["choices"][0]["prompt_logprobs"]
    with torch.inference_mode():
        model = AutoModelForCausalLM.from_pretrained(tiny["base"])
        logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    for place in (1, 100, 511 - 1):
        got = entries[place][str(ids[place])]["logprob"]
        assert got == pytest.approx(float(logprobs[place - 1, ids[place]]), abs=1e-4)


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"n": 100}, "n"),
        ({"prompt_logprobs": 1}, "prompt_logprobs"),
        ({"ignore_eos": "yes"}, "ignore_eos"),
        ({"guided_json": {}}, "guided_json"),
    ],
)
def test_what_is_not_done_is_refused_by_name(loaded, options, param):
    assert chat(loaded, 400, **options)["error"]["param"] == param


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"prompt": [1, 10**6]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": [1] * (CONTEXT + 1)}, None),
        ({"suffix": "x"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"prompt_logprobs": 1, "stream": True}, "prompt_logprobs"),
        ({"prompt_logprobs": -1}, "prompt_logprobs"),
    ],
)
def test_a_hostile_completion_is_refused_and_the_next_is_answered(loaded, options, param):
    error = complete(loaded, 400, **options)["error"]
    assert param is None or error["param"] == param
    assert complete(loaded)["choices"][0]["text"]


def test_one_who_leaves_frees_the_place_within_a_step(loaded):
    """Sixteen write, one waits: when one of the sixteen goes, the one that waits begins at once."""
    body = {"model": BASE, "messages": HELLO, "max_tokens": 400, "stream": True, "ignore_eos": True}
    streams = [loaded.open("POST", "/v1/chat/completions", body | {"temperature": 0}) for _ in range(16)]
    for stream in streams:
        stream.readline()
    begun: list[float] = []

    def wait():
        with loaded.open("POST", "/v1/chat/completions", body) as response:
            response.readline()
            begun.append(time.monotonic())

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.2)
    was_kept_waiting = not begun
    left = time.monotonic()
    for stream in streams[:2]:
        stream.connection.sock.close()
        stream.close()
    waiting.join(timeout=30)
    for stream in streams:
        stream.connection.sock.close()
        stream.close()
    assert was_kept_waiting and begun and begun[0] - left < 3
    while loaded.call("GET", "/health")[1]["answers"]:
        time.sleep(0.01)


async def test_the_backend_loads_scores_and_unloads(tiny, prompt):
    with (
        running_server() as server
    ):  # of its own: where one base has two names, an adapter's base has to be named
        server.call("POST", "/v1/load_base_model", {"name": "tiny", "path": str(tiny["base"])})
        backend = EmbeddedBackend(server.url)
        assert await backend.is_healthy()
        for name in ("by-itself", "by-itself", "other"):
            await backend.load_adapter(name, tiny["two"])
        assert {"by-itself", "other"} <= set(await backend.models())
        assert await backend.token_ids("by-itself", HELLO) == prompt
        scored = await backend.logprobs("by-itself", prompt[:-5], prompt[-5:])
        assert [one.token_id for one in scored] == prompt[-5:]
        again = await backend.logprobs("other", prompt[:-5], prompt[-5:])
        assert [one.logprob for one in scored] == pytest.approx([one.logprob for one in again], abs=1e-5)
        assert await backend.logprobs("other", prompt, []) == []
        await backend.unload_adapter("by-itself")
        await backend.unload_adapter("by-itself")
        assert "by-itself" not in await backend.models()


async def test_it_says_how_busy_it_is_and_how_fast(backend, loaded):
    before = parse(await backend.metrics())
    answer = chat(loaded, ignore_eos=True, max_tokens=7, n=2)
    now = parse(await backend.metrics())
    assert now["tokens"] - before["tokens"] == 14 == answer["usage"]["completion_tokens"]
    assert now["first_tokens"] - before["first_tokens"] == 2
    assert now["first_token_seconds"] > before["first_token_seconds"]
    assert now["running"] == now["waiting"] == 0
    told = figures_between({"counters": before, "at": 100.0}, now, 102.0)
    assert told["tokens_per_second"] == 7.0 and 0 < told["first_token"] < 30


async def test_the_backend_tells_a_broken_adapter_from_an_outage(backend, tmp_path):
    with pytest.raises(AdapterRefused) as caught:
        await backend.load_adapter("gone", tmp_path)
    assert "missing" in caught.value.message
    nobody = EmbeddedBackend(f"unix://{tmp_path}/nobody.sock", wait_seconds=0.05)
    assert not await nobody.is_healthy()


async def test_the_backend_passes_bodies_on_and_ends_what_nobody_reads(backend, loaded):
    body = {"model": ONE, "messages": HELLO, "max_tokens": 5, "temperature": 0}
    reply = await backend.forward("/v1/chat/completions", body)
    assert reply.status == 200 and json.loads(await reply.read())["usage"]["completion_tokens"] == 5
    with pytest.raises(ApiError) as caught:
        await backend.forward("/v1/chat/completions", body | {"model": "nobody"})
    assert caught.value.code == "model_not_found"
    long = body | {"max_tokens": 400, "stream": True, "ignore_eos": True}
    reply = await backend.forward("/v1/chat/completions", long)
    assert (await anext(reply.chunks)).startswith(b"data: ")
    await reply.close()
    async with asyncio.timeout(5):
        while loaded.call("GET", "/health")[1]["answers"]:
            await asyncio.sleep(0.01)


@pytest.fixture
def odd_base(tiny, tmp_path):
    """Makes a base of another architecture with the tiny tokenizer."""

    def make(config) -> Path:
        import torch
        from transformers import AutoModelForCausalLM

        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "odd")
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (tmp_path / "odd" / name).write_bytes((tiny["base"] / name).read_bytes())
        return tmp_path / "odd"

    return make


def _mistral():
    from transformers import MistralConfig

    return MistralConfig(
        vocab_size=258, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, sliding_window=16, eos_token_id=257, bos_token_id=None, pad_token_id=None,
        initializer_range=0.3,
    )  # fmt: skip


def _lfm2():
    from transformers import Lfm2Config

    return Lfm2Config(
        vocab_size=258, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, layer_types=["conv", "full_attention"], eos_token_id=257, bos_token_id=None,
        pad_token_id=None, initializer_range=0.3,
    )  # fmt: skip


def _gpt2():
    from transformers import GPT2Config

    return GPT2Config(
        vocab_size=258, n_embd=32, n_layer=2, n_head=2, n_positions=256, eos_token_id=257, bos_token_id=None,
        initializer_range=0.3,
    )  # fmt: skip


@pytest.mark.parametrize(("config", "is_shared"), [(_mistral, True), (_lfm2, False), (_gpt2, True)])
def test_other_architectures_answer_together_as_transformers_does_alone(odd_base, config, is_shared):
    import torch
    from transformers import AutoModelForCausalLM

    from serving.embedded.shelf import Shelf
    from tests.serving.test_batch import begin, finish

    directory = odd_base(config())
    shelf = Shelf()
    shelf.load_base("odd", directory)
    base = shelf.bases["odd"]
    assert base.is_shared is is_shared
    words = ["Hi", "What is the capital of Turkey?", "x" * 60]
    answers = [begin(shelf, "odd", one, 20) for one in words]
    ids = [list(answer.token_ids) for answer in answers]
    found = finish(shelf, answers)
    model = AutoModelForCausalLM.from_pretrained(directory)
    for prompt, answer in zip(ids, answers, strict=True):
        out = model.generate(torch.tensor([prompt]), max_new_tokens=20, do_sample=False, pad_token_id=0)
        theirs = out[0, len(prompt) :].tolist()
        ours = [score.token.token_id for score in found[answer]]
        assert ours == [token for token in theirs if token != 257]
