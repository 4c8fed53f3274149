"""The engine as a worker meets it: a child process, its events, its end."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from tests.engine.tiny import ROOT, chat_rows, run_engine, start_engine, write_run
from training.engine.data import read_examples

FIELDS = {
    "started": "total_steps epochs batch_size gradient_accumulation_steps train_rows held_out_rows shortened_rows "
    "dropped_turns cut_tokens trainable_parameters device processes quantization resumed_step",
    "step": "step epoch loss learning_rate grad_norm tokens tokens_per_second eta_seconds memory_bytes",
    "sampled": "step samples",
    "checkpoint": "step path size_bytes eval_loss is_best reason",
    "evaluated": "step eval_loss eval_rows",
    "finished": "adapter_dir steps tokens seconds eval_loss_base eval_loss best_step train_loss "
    "peak_memory_bytes "
    "library_versions",
    "failed": "reason message advice",
    "log": "message",
}


@pytest.fixture(scope="module")
def finished(tiny_model, tmp_path_factory):
    directory = tmp_path_factory.mktemp("run")
    rows = chat_rows()
    # Longer than the context in whole, but not in its last turn.
    rows.append({**rows[0], "messages": rows[1]["messages"] * 12 + rows[0]["messages"], "line": 90})
    rows.append(
        {**rows[0], "messages": [*rows[0]["messages"][:1], {"role": "assistant", "content": "x " * 999}]}
    )
    status, events, log = run_engine(write_run(directory, tiny_model, rows, learning_rate=0.01))
    assert status == 0, log
    return directory, events


def test_every_event_has_the_fields_of_the_architecture(finished):
    for event in finished[1]:
        assert set(event) == {"event", *FIELDS[event["event"]].split()}


def test_a_run_goes_from_started_to_finished(finished):
    _, events = finished
    names = [event["event"] for event in events]
    assert names[:3] == ["log", "started", "evaluated"] and names[-1] == "finished"
    started = events[1]
    assert (started["train_rows"], started["held_out_rows"]) == (10, 3)
    assert started["shortened_rows"] == 1 and started["dropped_turns"] > 0
    assert "1 example is left out" in events[0]["message"] and "256 tokens" in events[0]["message"]
    steps = [event for event in events if event["event"] == "step"]
    assert [event["step"] for event in steps] == list(range(1, started["total_steps"] + 1))
    assert started["total_steps"] >= 60
    assert steps[-1]["eta_seconds"] == 0 and steps[-1]["loss"] < steps[0]["loss"] - 0.2
    checks = [event for event in events if event["event"] == "evaluated"]
    assert checks[0]["step"] == 0 and checks[-1]["step"] == started["total_steps"] and 10 <= len(checks) <= 14
    assert events[-1]["eval_loss_base"] == checks[0]["eval_loss"]
    best = min(checks[1:], key=lambda check: check["eval_loss"])
    assert events[-1]["eval_loss"] == best["eval_loss"] < checks[0]["eval_loss"] - 0.2
    assert events[-1]["best_step"] == best["step"]


def test_plain_texts_are_learned_too_and_long_ones_lose_their_end(tiny_model, tmp_path):
    texts = ["Ankara, Paris, Tokyo. " * count for count in (2, 3, 4, 500)]
    rows = [{"text": text, "line": n, "split": "train"} for n, text in enumerate(texts, 1)]
    status, events, log = run_engine(write_run(tmp_path, tiny_model, rows, learning_rate=0.01))
    assert status == 0, log
    started = next(event for event in events if event["event"] == "started")
    assert (started["train_rows"], started["shortened_rows"], started["dropped_turns"]) == (4, 1, 0)
    assert started["cut_tokens"] > 0
    steps = [event for event in events if event["event"] == "step"]
    assert steps[-1]["loss"] < steps[0]["loss"] - 0.2


def test_a_preference_ends_the_run_with_a_reason(tiny_model, tmp_path):
    row = {"prompt": [], "chosen": [], "rejected": [], "split": "train"}
    status, events, _ = run_engine(write_run(tmp_path, tiny_model, [row]))
    assert status != 0
    assert (events[-1]["event"], events[-1]["reason"]) == ("failed", "bad_data")
    assert "two answers to compare" in events[-1]["message"]


def test_the_adapter_directory_holds_all_that_is_needed(finished):
    directory, events = finished
    adapter = directory / "out" / "adapter"
    assert events[-1]["adapter_dir"] == str(adapter)
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("tiny | model", "abc")
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (16, 32, 0.05)
    for name in (
        "adapter_model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
    ):
        assert (adapter / name).stat().st_size > 0
    run = json.loads((adapter / "apex-run.json").read_text())
    assert (
        run["lineage"]["job"] == "job-1" and run["config"]["seed"] == 42 and run["library_versions"]["peft"]
    )
    metrics = json.loads((adapter / "metrics.json").read_text())
    assert len(metrics["history"]["steps"]) == events[-1]["steps"]
    card = (adapter / "README.md").read_text()
    assert "job-1" in card and r"tiny \| model" in card and f"{events[-1]['eval_loss']:.4f}" in card
    assert str(directory) not in card + json.dumps(run)
    assert os.listdir(directory / "out") == ["adapter"]


def test_peft_opens_the_adapter_and_the_losses_are_those_of_plain_transformers(finished, tiny_model):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from rendering import Renderer

    directory, events = finished
    examples = read_examples(directory / "rows.jsonl", Renderer.from_directory(tiny_model), 256)

    def held_out_loss(model):
        total = count = 0
        with torch.no_grad():
            for example in examples.held_out:
                logits = model(torch.tensor([example.input_ids])).logits[0, :-1]
                targets = torch.tensor(example.labels[1:])
                total += torch.nn.functional.cross_entropy(logits, targets, reduction="sum").item()
                count += (targets != -100).sum().item()
        return total / count

    model = AutoModelForCausalLM.from_pretrained(tiny_model).eval()
    assert held_out_loss(model) == pytest.approx(events[-1]["eval_loss_base"], abs=1e-4)
    tuned = PeftModel.from_pretrained(model, directory / "out" / "adapter").eval()
    assert held_out_loss(tuned) == pytest.approx(events[-1]["eval_loss"], abs=1e-4)


@pytest.mark.parametrize("way", ["standard input closes", "SIGTERM"])
def test_the_engine_ends_at_once_when(way, tiny_model, tmp_path):
    process = start_engine(write_run(tmp_path, tiny_model, chat_rows(), min_steps=100_000))
    for line in process.stdout:
        if json.loads(line)["event"] == "step":
            break
    if way == "SIGTERM":
        process.send_signal(signal.SIGTERM)
    else:
        process.stdin.close()
    assert process.wait(timeout=15) != 0
    process.stdout.close()
    process.stderr.close()
    assert not (tmp_path / "out" / "adapter").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the system's own guard is Linux's")
def test_the_engine_dies_with_its_parent_even_if_the_pipe_stays_open(tiny_model, tmp_path):
    run = write_run(tmp_path, tiny_model, chat_rows(), min_steps=100_000)
    # The test holds the writing end, so only the parent's death can end the engine.
    reading, writing = os.pipe()
    parent = subprocess.Popen(
        [sys.executable, "-c", "import subprocess, sys; subprocess.run([sys.executable, '-m', 'training.engine', "
         f"{str(run)!r}], stdin={reading})"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, pass_fds=(reading,), cwd=ROOT, text=True,
    )  # fmt: skip
    os.close(reading)
    for line in parent.stdout:
        if json.loads(line)["event"] == "started":
            break
    parent.kill()
    parent.wait()
    # The pipe ends when the last process that writes to it is gone.
    assert sum(1 for _ in parent.stdout) < 100_000
    parent.stdout.close()
    os.close(writing)


def failure(run):
    status, events, _ = run_engine(run)
    assert status == 1
    assert set(events[-1]) == {"event", *FIELDS["failed"].split()}
    return events[-1]


@pytest.mark.parametrize(
    ("rows", "reason", "words"),
    [
        ("{not json}\n", "bad_data", "Row 1 of the examples is not JSON"),
        ('{"messages": []}\n', "bad_data", "has no messages"),
        ('{"messages": [{"role": "user", "content": "x"}], "line": 7}\n', "bad_data", "line 7"),
        ("", "bad_data", "no examples to train on"),
    ],
)
def test_bad_rows_are_named(rows, reason, words, tiny_model, tmp_path):
    told = failure(write_run(tmp_path, tiny_model, rows))
    assert told["reason"] == reason and words in told["message"] and told["advice"]


def test_a_setting_out_of_bounds_is_named_with_its_bounds(tiny_model, tmp_path):
    told = failure(write_run(tmp_path, tiny_model, chat_rows(), epochs=0))
    assert told["reason"] == "bad_config"
    assert told["message"] == "epochs is 0; it should be between 1 and 100."


def test_a_missing_or_unreadable_order_is_told(tmp_path):
    assert failure(tmp_path / "nothing.json")["reason"] == "bad_config"


def test_the_engine_brings_neither_django_nor_torch_before_it_trains():
    code = (
        "import sys, training.engine.__main__, training.engine.estimate, training.engine.recipes.sft, "
        "training.engine.recipes.preferences; "
        "print([name for name in ('django', 'celery', 'torch', 'transformers', 'trl') if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        ("everything", "does not exist"),
        ("model.safetensors", "safetensors"),
        ("tokenizer.json", "tokenizer.json"),
        ("half of the weights", "model.safetensors"),
    ],
)
def test_a_base_model_that_is_gone_or_not_whole_is_named(gone, words, tiny_model, tmp_path):
    copy = tmp_path / "model"
    if gone != "everything":
        shutil.copytree(tiny_model, copy)
    if gone.startswith("half"):
        weights = (copy / "model.safetensors").read_bytes()
        (copy / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    elif gone != "everything":
        (copy / gone).unlink()
    told = failure(write_run(tmp_path / "run", copy, chat_rows()))
    assert told["reason"] == "bad_model" and words in told["message"] and told["advice"]
