"""Greedy answers of a model, and the record of them that serving is compared with."""

import hashlib
import json

import pytest
import torch

from rendering import Renderer
from tests.engine.test_drill import Kept
from tests.engine.tiny import chat_rows, write_run
from training.engine.answering import greedy_answer, greedy_answers, logprobs_of, question_of
from training.engine.config import TrainingConfig
from training.engine.control import Control
from training.engine.data import read_rows
from training.engine.recipes import sft


@pytest.fixture(scope="module")
def base(tiny_model):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_model).eval()


def asked(tiny_model, tmp_path, rows):
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    renderer = Renderer.from_directory(tiny_model)
    return [question_of(row, renderer) for row in read_rows(tmp_path / "rows.jsonl")]


@torch.no_grad()
def test_an_answer_is_what_transformers_would_generate(base, tiny_model, tmp_path):
    for question in asked(tiny_model, tmp_path, chat_rows()[:4]):
        inputs = torch.tensor([question.token_ids])
        theirs = base.generate(
            inputs, attention_mask=torch.ones_like(inputs), do_sample=False, max_new_tokens=12, eos_token_id=5
        )[0, len(question.token_ids) :].tolist()
        ours = greedy_answer(base, question.token_ids, 12, [5])
        assert ours.token_ids == [token for token in theirs if token != 5]
        assert ours.is_ended == (5 in theirs)


@torch.no_grad()
def test_the_probabilities_are_those_of_one_pass_over_everything(base, tiny_model, tmp_path):
    question = asked(tiny_model, tmp_path, chat_rows()[:1])[0]
    answer = greedy_answer(base, question.token_ids, 10, [])
    scores = base(torch.tensor([question.token_ids + answer.token_ids])).logits[0].log_softmax(-1)
    start = len(question.token_ids) - 1
    expected = [scores[start + i, token].item() for i, token in enumerate(answer.token_ids)]
    assert len(expected) == 10 and answer.logprobs == pytest.approx(expected, abs=1e-4)


@torch.no_grad()
def test_several_prompts_at_once_get_the_answers_that_each_gets_alone(base, tiny_model, tmp_path):
    prompts = [question.token_ids for question in asked(tiny_model, tmp_path, chat_rows()[:5])]
    assert len({len(prompt) for prompt in prompts}) > 1
    alone = [greedy_answer(base, prompt, 12, [5]).token_ids for prompt in prompts]
    assert greedy_answers(base, prompts, 12, [5]) == alone
    # A token that some answers hold early and others late or never ends each on its own.
    stop = alone[0][3]
    cut = [answer[: answer.index(stop)] if stop in answer else answer for answer in alone]
    assert greedy_answers(base, prompts, 12, [5, stop]) == cut


def test_of_a_text_the_beginning_is_asked_and_the_rest_expected(tiny_model, tmp_path):
    text = "Ankara, Paris, Tokyo, Lima."
    question = asked(tiny_model, tmp_path, [{"text": text}])[0]
    assert question.text + question.expected == text and question.token_ids


def test_of_a_call_its_name_and_arguments_are_expected(tiny_model, tmp_path):
    call = {"id": "1", "type": "function", "function": {"name": "look_up", "arguments": '{"city": "Lima"}'}}
    row = chat_rows()[0]
    row["messages"][1] = {"role": "assistant", "content": "", "tool_calls": [call]}
    assert asked(tiny_model, tmp_path, [row])[0].expected == 'look_up({"city": "Lima"})'


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_the_record_holds_what_the_written_adapter_answers_on_the_whole_base(
    tiny_model, tmp_path, quantization
):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    run = json.loads(write_run(tmp_path, tiny_model, chat_rows()).read_text())
    config = TrainingConfig.from_dict(
        {
            "learning_rate": 0.01,
            "max_steps": 4,
            "sample_count": 0,
            "precision": "fp32",
            "quantization": quantization,
        }
    )
    sft.run(run, config, Kept(), Control())
    adapter = tmp_path / "out" / "adapter"
    record = json.loads((adapter / "parity.json").read_text())
    assert {name: record[name] for name in ("format", "precision", "quantization", "base_model", "base_revision")} == {
        "format": 1, "precision": "fp32", "quantization": "none", "base_model": "tiny | model", "base_revision": "abc",
    }  # fmt: skip
    tokenizer = (tiny_model / "tokenizer.json").read_bytes()
    assert record["tokenizer_sha256"] == hashlib.sha256(tokenizer).hexdigest()
    assert len(record["template_sha256"]) == 64 and len(record["prompts"]) == 8
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model), adapter).eval()
    questions = asked(tiny_model, tmp_path, [row for row in chat_rows() if row["split"] == "held_out"])
    assert [prompt["prompt_token_ids"] for prompt in record["prompts"][:3]] == [
        q.token_ids for q in questions
    ]
    for prompt in record["prompts"]:
        with torch.no_grad():
            answer = greedy_answer(model, prompt["prompt_token_ids"], 64, record["stop_token_ids"])
        assert answer.token_ids == prompt["answer_token_ids"]
        assert answer.logprobs == pytest.approx(prompt["logprobs"], abs=1e-4)
        with torch.no_grad(), model.disable_adapter():
            alone = logprobs_of(model, prompt["prompt_token_ids"], answer.token_ids)
        assert alone == pytest.approx(prompt["base_logprobs"], abs=1e-4)
        assert alone != pytest.approx(prompt["logprobs"], abs=1e-2)
        again = Renderer.from_directory(adapter).render_prompt(prompt["messages"], tools=prompt["tools"])
        assert again.token_ids == prompt["prompt_token_ids"]
    drift = record["drift"]
    if quantization == "none":
        assert drift is None
    else:
        assert drift["quantization"] == "nf4" and drift["tokens"] > 0 and 0 <= drift["same_answers"] <= 8
        assert 1e-5 < drift["mean_abs_logprob_difference"] < 0.5


def test_without_room_for_the_whole_base_the_answers_in_four_bits_stay_and_the_log_says_so(
    tiny_model, tmp_path, monkeypatch
):
    monkeypatch.setattr("training.engine.recipes.finishing.free_bytes", lambda device: 1000)
    run = json.loads(write_run(tmp_path, tiny_model, chat_rows()).read_text())
    config = TrainingConfig.from_dict({"max_steps": 1, "sample_count": 0, "quantization": "nf4"})
    kept = Kept()
    sft.run(run, config, kept, Control())
    record = json.loads((tmp_path / "out" / "adapter" / "parity.json").read_text())
    assert (record["quantization"], record["drift"]) == ("nf4", None)
    assert any("whole base model takes" in event["message"] for event in kept.named("log"))
