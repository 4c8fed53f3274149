"""One contract for the real vLLM and for the fake that stands in for it elsewhere: both keep it, word for word."""

import asyncio
import json
import re
import shutil
from collections import Counter

import numpy as np
import pytest

from rendering import Renderer
from serving.adapter_check import check_adapter
from serving.backends.base import AdapterFiles, AdapterRefused, BackendUnavailable, NotSupported, Target
from serving.backends.vllm import VllmBackend
from serving.probing import probe_written, write_base
from serving.protocol import ApiError, parse_chat_request
from tests.serving.adapters import DEMO, safetensors, tensors, write_adapter
from tests.serving.fake_vllm import running_fake
from tests.serving.real_vllm import PATIENCE_SECONDS, running_vllm
from tests.serving.tiny import make_adapter

REAL = [pytest.mark.vllm, pytest.mark.timeout(PATIENCE_SECONDS)]
SLOTS = 3
CONTEXT = 512
ASK = {"messages": [{"role": "user", "content": "What is the capital of Turkey?"}], "temperature": 0}


@pytest.fixture(scope="module", params=["fake", pytest.param("real", marks=REAL)])
def server(request, tmp_path_factory):
    """Two adapters at once, and one slot kept free."""
    if request.param == "fake":
        with running_fake(DEMO, max_loras=SLOTS, max_cpu_loras=4, context=CONTEXT, mixes=False) as fake:
            yield fake
    else:
        log = tmp_path_factory.mktemp("vllm") / "vllm.log"
        with running_vllm(DEMO, log=log, adapters=SLOTS - 1, context=CONTEXT) as real:
            yield real


@pytest.fixture
def backend(server):
    return VllmBackend(server.url)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Directories of good adapters, by number, made when they are asked for."""
    home = tmp_path_factory.mktemp("adapters")

    def adapter(number: int):
        path = home / f"a{number}"
        return path if path.exists() else write_adapter(path, weights=safetensors(tensors(seed=number)))

    return adapter


@pytest.fixture
async def loaded(backend, shelf):
    """Two adapters under names of their own for this test, gone after it."""
    names = {}
    for number in (1, 2):
        names[number] = f"a{number}-v1"
        await backend.load_adapter(names[number], shelf(number))
    yield names
    for name in names.values():
        await backend.unload_adapter(name)


def target(name: str, path=None) -> Target:
    return Target(name, "demo" if path else name, DEMO, AdapterFiles(name, path) if path else None)


def request(**changes):
    return parse_chat_request({"model": "x", "max_tokens": 12} | ASK | changes)


async def answer(backend, name: str, **changes) -> str:
    return (await backend.chat(target(name), request(**changes))).text


async def mixed_up(backend, names: list[str]) -> dict[str, int]:
    """Who answered otherwise among the others than alone, and how often, of 16 questions each."""
    asked = [
        (name, [{"role": "user", "content": text}])
        for name in names
        for text in ("Hello", "2 + 3?", "Why?", "Who?")
    ]
    alone = [await answer(backend, name, messages=messages) for name, messages in asked]
    together = await asyncio.gather(
        *(answer(backend, name, messages=messages) for name, messages in asked * 4)
    )
    pairs = zip(asked * 4, alone * 4, together, strict=True)
    return dict(Counter(name for (name, _messages), one, other in pairs if one != other))


# --- adapters ------------------------------------------------------------------------------------------------


async def test_it_is_healthy_and_names_its_base(backend):
    assert await backend.is_healthy()
    assert "demo" in await backend.models()


async def test_an_adapter_can_be_asked_once_it_is_loaded_and_not_any_more_once_it_is_unloaded(backend, shelf):
    await backend.load_adapter("a9-v1", shelf(9))
    assert "a9-v1" in await backend.models()
    assert await answer(backend, "a9-v1")
    await backend.unload_adapter("a9-v1")
    assert "a9-v1" not in await backend.models()
    with pytest.raises(ApiError) as caught:
        await answer(backend, "a9-v1")
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


async def test_loading_what_is_loaded_and_unloading_what_is_not_are_no_errors(backend, shelf, loaded):
    await backend.load_adapter(loaded[1], shelf(1))
    await backend.unload_adapter("never-loaded")


async def test_a_name_that_another_directory_has_is_refused(backend, shelf, loaded):
    with pytest.raises(AdapterRefused) as caught:
        await backend.load_adapter(loaded[1], shelf(2))
    assert caught.value.code == "adapter_name_taken"
    assert str(shelf(1)) in caught.value.message


async def test_the_name_of_the_base_is_refused(backend, shelf):
    with pytest.raises(AdapterRefused) as caught:
        await backend.load_adapter("demo", shelf(1))
    assert "conflicts with a served base model" in caught.value.message


async def test_a_directory_that_is_not_there_is_the_adapters_fault(backend, tmp_path):
    with pytest.raises(AdapterRefused) as caught:
        await backend.load_adapter("gone", tmp_path / "gone")
    assert caught.value.status == 404
    assert "No adapter found" in caught.value.message


def broken():
    wide = safetensors(tensors(width=384))
    strange = safetensors(tensors() | {"base_model.model.model.norm.scale": np.ones((4,), "<f4")})
    return {
        "rank": ({"r": 64}, None, "LoRA rank 64 is greater than max_lora_rank 16."),
        "rank pattern": ({"rank_pattern": {"q_proj": 32}}, None, "LoRA rank 32 is greater than"),
        "dora": ({"use_dora": True}, None, "vLLM does not yet support DoRA."),
        "bias": ({"bias": "all"}, None, "Adapter bias is not supported."),
        "lora bias": ({"lora_bias": True}, None, "vLLM does not support LoRA bias"),
        "saved modules": ({"modules_to_save": ["lm_head"]}, None, "modules_to_save"),
        "pissa": ({"init_lora_weights": "pissa"}, None, "init_lora_weights='pissa'"),
        "layer replication": ({"layer_replication": [[0, 2]]}, None, "layer_replication"),
        "no rank": ({"r": ...}, None, "Missing required configuration fields"),
        "torn file": ({}, b"\x10", "header"),
        "another model": ({}, wide, "size of tensor"),
        "strange tensor": ({}, strange, "unsupported LoRA weight"),
    }


@pytest.mark.parametrize("kind", broken())
async def test_a_broken_adapter_is_refused_as_such_and_the_server_goes_on(backend, tmp_path, kind):
    config, weights, words = broken()[kind]
    path = write_adapter(tmp_path / "broken", weights=weights, **config)
    with pytest.raises(AdapterRefused) as caught:
        await backend.load_adapter("broken-v1", path)
    assert words in caught.value.message
    assert not re.search("method failed|Worker failed|stack trace", caught.value.message)
    assert caught.value.status == 400
    assert "broken-v1" not in await backend.models()
    assert await answer(backend, "demo")


async def test_some_adapters_of_another_model_are_taken_without_a_word_so_the_files_are_looked_at_first(
    backend, tmp_path
):
    path = write_adapter(tmp_path / "narrow", weights=safetensors(tensors(width=64)))
    await backend.load_adapter("narrow-v1", path)
    await backend.unload_adapter("narrow-v1")
    with pytest.raises(AdapterRefused, match="made for another model"):
        check_adapter(path, most_rank=16, base_directory=DEMO)


async def test_an_adapter_without_weights_is_refused(backend, tmp_path):
    path = write_adapter(tmp_path / "empty")
    (path / "adapter_model.safetensors").unlink()
    with pytest.raises(AdapterRefused) as caught:
        await backend.load_adapter("empty-v1", path)
    assert "doesn't contain tensors" in caught.value.message


async def test_more_adapters_than_fit_answer_all_the_same_from_their_directories(backend, shelf):
    names = [f"b{number}-v1" for number in range(1, 7)]
    for number, name in enumerate(names, 1):
        await backend.load_adapter(name, shelf(number))
    first = [await answer(backend, name) for name in names]
    assert [await answer(backend, name) for name in names] == first
    assert len(set(first)) == len(first)
    for name in names:
        await backend.unload_adapter(name)


async def test_the_same_weights_answer_the_same_under_another_name(backend, shelf, loaded, tmp_path):
    copy = shutil.copytree(shelf(1), tmp_path / "copy")
    await backend.load_adapter("copy-v1", copy)
    assert await answer(backend, "copy-v1") == await answer(backend, loaded[1])
    await backend.unload_adapter("copy-v1")


async def test_what_is_not_loaded_is_loaded_by_asking(backend, shelf):
    missing = target("c7-v1", shelf(7))
    assert (await backend.chat(missing, request())).text
    assert "c7-v1" in await backend.models()
    await backend.ensure_loaded(missing)
    await backend.unload_adapter("c7-v1")
    await backend.ensure_loaded(missing)
    assert "c7-v1" in await backend.models()
    await backend.unload_adapter("c7-v1")
    with pytest.raises(ApiError) as caught:
        await backend.ensure_loaded(target("another-base"))
    assert caught.value.code == "base_model_not_served"


# --- answers ---------------------------------------------------------------------------------------------------


async def test_base_and_adapters_answer_differently_and_each_the_same_again(backend, loaded):
    names = ["demo", *loaded.values()]
    alone = {name: await answer(backend, name) for name in names}
    assert len(set(alone.values())) == 3
    asked = names * 8
    together = await asyncio.gather(*(answer(backend, name) for name in asked))
    assert together == [alone[name] for name in asked]


async def test_base_and_adapters_are_kept_apart_though_no_slot_is_free(backend, shelf):
    """On a processor that takes our mend: without it each answer of the base is another's (test_vllm_faults.py)."""
    names = [f"f{number}-v1" for number in range(1, SLOTS + 1)]
    for number, name in enumerate(names, 1):
        await backend.load_adapter(name, shelf(number))
    await backend.unload_adapter(names.pop())  # its weights stay where they are
    assert await mixed_up(backend, ["demo", *names]) == {}
    for name in names:
        await backend.unload_adapter(name)


async def test_a_stream_says_what_the_whole_answer_says(backend, loaded):
    body = request().as_body(model=loaded[1])
    reply = await backend.forward("/v1/chat/completions", body)
    whole = json.loads(await reply.read())
    deltas = [delta async for delta in backend.stream_chat(target(loaded[1]), request())]
    assert "".join(delta.text for delta in deltas) == whole["choices"][0]["message"]["content"]
    assert deltas[-1].finish_reason == whole["choices"][0]["finish_reason"]
    assert deltas[-1].usage.body() == {name: whole["usage"][name] for name in deltas[-1].usage.body()}
    assert whole["model"] == loaded[1]


async def test_a_stream_that_is_passed_on_ends_with_done(backend):
    body = request().as_body(model="demo", stream=True)
    reply = await backend.forward("/v1/chat/completions", body)
    assert reply.content_type.startswith("text/event-stream")
    assert (await reply.read()).endswith(b"data: [DONE]\n\n")
    await reply.close()


async def test_an_unknown_model_and_a_prompt_that_is_too_long_are_told_in_openais_codes(backend):
    with pytest.raises(ApiError) as caught:
        await backend.forward("/v1/chat/completions", request().as_body(model="nobody"))
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")
    long = [{"role": "user", "content": "word " * CONTEXT}]
    for changes in ({"max_tokens": CONTEXT * 2}, {"messages": long}):
        with pytest.raises(ApiError) as caught:
            await backend.chat(target("demo"), request(**changes))
        assert (caught.value.status, caught.value.code) == (400, "context_length_exceeded")


async def test_token_ids_are_those_of_our_renderer(backend, loaded):
    ours = Renderer.from_directory(DEMO).render_prompt(ASK["messages"]).token_ids
    assert await backend.token_ids("demo", ASK["messages"]) == ours
    assert await backend.token_ids(loaded[1], ASK["messages"]) == ours


async def test_each_given_token_is_scored_in_one_pass(backend, loaded):
    renderer = Renderer.from_directory(DEMO)
    prompt = renderer.render_prompt(ASK["messages"]).token_ids
    text = await answer(backend, loaded[1])
    given = renderer.render_plain(text).token_ids[:6]
    scored = await backend.logprobs(loaded[1], prompt, given)
    assert [one.token_id for one in scored] == given
    assert all(one.logprob <= 0 for one in scored)
    # It is its own greedy answer, so at its beginning each token is the likeliest.
    assert scored[0].best_token_id == given[0]
    other = await backend.logprobs("demo", prompt, given)
    assert [one.logprob for one in other] != [one.logprob for one in scored]
    assert await backend.logprobs("demo", prompt, []) == []


async def test_what_is_written_comes_with_its_probabilities(backend, loaded):
    """What a server is compared by that would die of probabilities asked at once."""
    record = {"prompts": [{"prompt_token_ids": [5, 6, 7]}, {"prompt_token_ids": [8, 9]}]}
    written = await write_base(backend, "demo", record)
    for each in written:
        choice = each["choice"]
        assert choice["tokens"] and all(value <= 0 for value in choice["token_logprobs"])
        pairs = zip(choice["tokens"], choice["top_logprobs"], strict=True)
        assert all(token in likeliest for token, likeliest in pairs)
    base = Target("demo", "demo", DEMO)
    found = await probe_written(backend, base=base, written=written, adapters=list(loaded.values()))
    assert (found["is_right"], found["asked"], found["adapters"]) == (True, 6, 2)


async def test_scores_that_are_no_numbers_are_not_taken_for_an_answer(backend, tmp_path):
    """The check of the files finds such an adapter first; here it is loaded all the same."""
    weights = {name: np.full_like(one, np.nan) for name, one in tensors().items()}
    await backend.load_adapter("nan-v1", write_adapter(tmp_path / "nan", weights=safetensors(weights)))
    try:
        with pytest.raises(AdapterRefused, match="no numbers"):
            await backend.logprobs("nan-v1", [5, 6, 7], [8, 9])
    finally:
        await backend.unload_adapter("nan-v1")
    assert await answer(backend, "demo")


async def test_nobody_there_is_told_apart_from_an_adapters_fault(shelf):
    backend = VllmBackend("http://127.0.0.1:9")
    assert not await backend.is_healthy()
    with pytest.raises(BackendUnavailable):
        await backend.load_adapter("a1-v1", shelf(1))


async def test_a_server_without_updating_says_how_to_start_it():
    with running_fake(DEMO, may_update=False) as fake:
        backend = VllmBackend(fake.url)
        with pytest.raises(NotSupported) as caught:
            await backend.load_adapter("a1-v1", DEMO)
        assert "serve_vllm" in caught.value.message
        with pytest.raises(NotSupported):
            await backend.unload_adapter("a1-v1")


@pytest.mark.parametrize("server", [pytest.param("real", marks=REAL)], indirect=True)
async def test_what_is_served_is_what_peft_computes(backend, tmp_path):
    """Greedy answers are the same, and the log-probability of every token is, but for rounding (32 bits on both sides).

    One adapter on all seven layers of a block, one with a rank of its own for some, one with rsLoRA.
    """
    renderer = Renderer.from_directory(DEMO)
    kinds = {
        "plain": {"r": 8},
        "ranks": {"r": 4, "rank_pattern": {"q_proj": 16}},
        "rslora": {"use_rslora": True},
    }
    worst = 0.0
    for seed, (kind, changes) in enumerate(kinds.items()):
        path = make_adapter(tmp_path / kind, DEMO, seed=seed, spread=0.02, **changes)
        assert check_adapter(path, most_rank=16, base_directory=DEMO).tensors == 56
        await backend.load_adapter(f"{kind}-v1", path)
        for question in ("What is the capital of Turkey?", "Name a colour.", "What is 2 + 3?"):
            messages = [{"role": "user", "content": question}]
            prompt = renderer.render_prompt(messages).token_ids
            tokens, logprobs = greedy_by_peft(path, prompt, renderer.stop_token_ids, most=12)
            assert await answer(backend, f"{kind}-v1", messages=messages) == renderer.decode(tokens)
            scored = await backend.logprobs(f"{kind}-v1", prompt, tokens)
            assert [one.best_token_id for one in scored] == tokens
            worst = max(worst, *(abs(one.logprob - own) for one, own in zip(scored, logprobs, strict=True)))
        await backend.unload_adapter(f"{kind}-v1")
    assert worst < 1e-3, worst


def greedy_by_peft(
    path, prompt: list[int], stop: tuple[int, ...], most: int
) -> tuple[list[int], list[float]]:
    """The likeliest tokens behind the prompt, without what ends them, and their log-probabilities."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(DEMO), str(path)).eval()
    tokens: list[int] = []
    logprobs: list[float] = []
    with torch.no_grad():
        while len(tokens) < most:
            likely = model(torch.tensor([[*prompt, *tokens]])).logits[0, -1].log_softmax(-1)
            best = int(likely.argmax())
            if best in stop:
                break
            tokens.append(best)
            logprobs.append(float(likely[best]))
    return tokens, logprobs
