"""The embedded server as a process: real socket, real model, real adapters."""

import json
import os
import threading
import time

import pytest

from tests.serving.embedded_process import running_server
from tests.serving.tiny import CONTEXT, make_adapter, make_base

BASE, ONE, TWO = "tiny", "ft:tiny:alice:one.x", "ft:tiny:alice:two.x"


def chat(model=BASE, content="Hello, who are you?", **options):
    return {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "max_tokens": 40,
        "temperature": 0,
    } | options


def answer(server, **options) -> str:
    status, body = server.call("POST", "/v1/chat/completions", chat(**options))
    assert status == 200, body
    return body["choices"][0]["message"]["content"]


def refused(server, status, **options) -> dict:
    got, body = server.call("POST", "/v1/chat/completions", chat(**options))
    assert got == status, body
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return body["error"]


def test_base_and_adapters_answer_each_in_their_own_way(loaded):
    answers = [answer(loaded, model=model) for model in (BASE, ONE, TWO)]
    assert len(set(answers)) == 3
    assert [answer(loaded, model=model) for model in (BASE, ONE, TWO)] == answers


def test_answers_are_those_of_transformers_and_peft(loaded, tiny):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from rendering import Renderer

    renderer = Renderer.from_directory(tiny["base"])
    ids = renderer.render_prompt(chat()["messages"]).token_ids
    model = AutoModelForCausalLM.from_pretrained(tiny["base"])
    for name in (BASE, ONE):
        if name == ONE:
            model = PeftModel.from_pretrained(model, tiny["one"])
        out = model.generate(
            input_ids=torch.tensor([ids]), max_new_tokens=40, do_sample=False, pad_token_id=0
        )
        assert answer(loaded, model=name) == renderer.decode(out[0, len(ids) :].tolist())


def test_answers_written_at_the_same_time_do_not_mix(loaded):
    wanted = [(model, f"question {number}") for number in range(3) for model in (BASE, ONE, TWO)]
    alone = {ask: answer(loaded, model=ask[0], content=ask[1]) for ask in wanted}
    together: dict = {}

    def run(ask):
        together[ask] = answer(loaded, model=ask[0], content=ask[1])

    threads = [threading.Thread(target=run, args=(ask,)) for ask in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_two_streams_flow_at_once(loaded):
    times: dict[str, list[float]] = {BASE: [], ONE: []}

    def read(model):
        with loaded.open(
            "POST", "/v1/chat/completions", chat(model=model, max_tokens=300, stream=True)
        ) as response:
            times[model] = [time.monotonic() for line in response if line.startswith(b"data:")]

    threads = [threading.Thread(target=read, args=(model,)) for model in times]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(times[BASE][0], times[ONE][0]) < min(times[BASE][-1], times[ONE][-1])


def test_a_stream_gives_the_same_text_role_first_reason_last(loaded):
    chunks = loaded.events(chat(model=ONE, stream_options={"include_usage": True}))
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    *texts, last, usage = chunks
    text = "".join(chunk["choices"][0]["delta"]["content"] for chunk in texts)
    assert text == answer(loaded, model=ONE)
    assert last["choices"][0]["finish_reason"] == "length"
    assert usage["choices"] == [] and usage["usage"]["completion_tokens"] == 40
    assert {chunk["id"] for chunk in chunks} == {chunks[0]["id"]}


def test_the_same_seed_gives_the_same_answer(loaded):
    hot = {"temperature": 1.5, "top_p": 0.9}
    assert answer(loaded, seed=7, **hot) == answer(loaded, seed=7, **hot)
    assert len({answer(loaded, seed=seed, **hot) for seed in range(4)}) > 1
    assert answer(loaded, temperature=2, top_p=0, seed=1) == answer(loaded, temperature=2, top_p=0, seed=2)


def test_a_stop_string_ends_the_answer_before_it(loaded):
    whole = answer(loaded)
    stop = whole[10:13]
    status, body = loaded.call("POST", "/v1/chat/completions", chat(stop=[stop]))
    choice = body["choices"][0]
    assert choice["message"]["content"] == whole[: whole.index(stop)]
    assert choice["finish_reason"] == "stop"


def test_usage_counts_the_rendered_prompt(loaded, tiny):
    from rendering import Renderer

    ids = Renderer.from_directory(tiny["base"]).render_prompt(chat()["messages"]).token_ids
    _, body = loaded.call("POST", "/v1/chat/completions", chat(max_tokens=5))
    assert body["usage"] == {"prompt_tokens": len(ids), "completion_tokens": 5, "total_tokens": len(ids) + 5}


def test_a_prompt_beyond_the_context_is_refused_with_numbers(loaded):
    error = refused(loaded, 400, content="x" * CONTEXT)
    assert error["code"] == "context_length_exceeded"
    assert str(CONTEXT) in error["message"]
    assert refused(loaded, 400, max_tokens=CONTEXT)["code"] == "context_length_exceeded"


def test_a_prompt_that_cannot_fit_is_refused_before_it_is_tokenised(loaded):
    most = 32 * (CONTEXT - 1)
    assert "tokens (" in refused(loaded, 400, content="x" * most)["message"]
    flood = [{"role": "user", "content": ""}] * (CONTEXT + 1)
    for change in ({"content": "x" * (most + 1)}, {"messages": flood}):
        error = refused(loaded, 400, **change)
        assert (error["code"], error["param"]) == ("context_length_exceeded", "messages")
        assert "characters" in error["message"]


def test_a_broken_request_is_refused_by_name(loaded):
    assert refused(loaded, 404, model="nobody")["code"] == "model_not_found"
    assert refused(loaded, 400, messages=[])["param"] == "messages"
    assert refused(loaded, 400, temperature=3)["param"] == "temperature"
    assert loaded.call("GET", "/v1/chat/completions")[0] == 405
    assert loaded.call("GET", "/v1/nothing")[0] == 404


def test_models_lists_bases_and_their_adapters(loaded):
    _, body = loaded.call("GET", "/v1/models")
    cards = {card["id"]: card for card in body["data"]}
    assert [cards[name]["parent"] for name in (BASE, ONE, TWO)] == [None, BASE, BASE]
    assert cards[BASE]["max_model_len"] == CONTEXT


def test_a_client_that_leaves_ends_its_answer(loaded):
    before = loaded.call("GET", "/health")[1]["cancelled"]
    response = loaded.open("POST", "/v1/chat/completions", chat(max_tokens=400, stream=True))
    response.readline()
    response.connection.sock.close()
    response.close()
    while loaded.call("GET", "/health")[1]["answers"]:
        time.sleep(0.01)
    assert loaded.call("GET", "/health")[1]["cancelled"] == before + 1


def test_an_adapter_can_come_and_go_while_others_answer(loaded, tiny, tmp_path):
    before = answer(loaded, model=ONE)
    third = make_adapter(tmp_path / "three", tiny["base"], seed=3, r=8)
    body = {"lora_name": "three", "lora_path": str(third), "base_model": BASE}
    assert loaded.call("POST", "/v1/load_lora_adapter", body)[0] == 200
    assert loaded.call("POST", "/v1/load_lora_adapter", body)[0] == 200  # twice changes nothing
    assert answer(loaded, model="three") not in (before, answer(loaded))
    assert loaded.call("POST", "/v1/unload_lora_adapter", {"lora_name": "three"})[0] == 200
    assert refused(loaded, 404, model="three")["code"] == "model_not_found"
    assert answer(loaded, model=ONE) == before


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"r": 512}, "r is 512"),
        ({"kasa_config": {"beta": 1}}, "KaSA"),
        ({"init_lora_weights": "pissa"}, "pissa"),
        ({"peft_type": "IA3"}, "peft_type"),
    ],
)
def test_an_adapter_of_another_kind_is_refused(loaded, tiny, tmp_path, change, word):
    directory = tmp_path / "odd"
    directory.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (directory / name).write_bytes((tiny["one"] / name).read_bytes())
    config = directory / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    body = {"lora_name": "odd", "lora_path": str(directory), "base_model": BASE}
    status, answer_ = loaded.call("POST", "/v1/load_lora_adapter", body)
    assert status == 400
    assert word in answer_["error"]["message"]


def test_an_adapter_for_another_base_is_refused(loaded, tmp_path):
    other = make_base(tmp_path / "other", hidden=48)
    adapter = make_adapter(tmp_path / "foreign", other, seed=4)
    body = {"lora_name": "foreign", "lora_path": str(adapter), "base_model": BASE}
    status, answer_ = loaded.call("POST", "/v1/load_lora_adapter", body)
    assert status == 400
    assert answer_["error"]["code"] == "adapter_does_not_fit"


def test_code_and_pickles_in_a_base_are_refused(loaded, tiny, tmp_path):
    with_code, pickled = tmp_path / "code", tmp_path / "pickle"
    for directory in (with_code, pickled):
        directory.mkdir()
        (directory / "config.json").write_bytes((tiny["base"] / "config.json").read_bytes())
    (pickled / "pytorch_model.bin").write_bytes(b"")
    config = json.loads((tiny["base"] / "config.json").read_text())
    (with_code / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "evil.Model"}}))
    (with_code / "model.safetensors").write_bytes((tiny["base"] / "model.safetensors").read_bytes())
    for directory, word in ((with_code, "auto_map"), (pickled, "safetensors")):
        status, body = loaded.call("POST", "/v1/load_base_model", {"name": "x", "path": str(directory)})
        assert status == 400
        assert word in body["error"]["message"]


def test_it_is_light_until_asked_and_stops_when_idle(tiny):
    with running_server(idle_seconds=1) as server:
        time.sleep(1.5)
        assert server.process.poll() is None, "a process that never loaded a model stays"
        light = server.rss_bytes()
        assert server.call("POST", "/v1/load_base_model", {"name": BASE, "path": str(tiny["base"])})[0] == 200
        heavy = server.rss_bytes()
        assert server.process.wait(timeout=20) == 0
        assert not os.path.exists(server.path), "a socket without anybody behind it means that it was killed"
    assert light < 100e6 < heavy
