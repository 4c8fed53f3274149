"""Alice's dataset, a base model in the catalogue, and an engine that says what a test tells it to."""

import sys

import pytest
from celery import current_app

from base_models.models import BaseModel
from base_models.services import BUILT_IN
from tests.training.factories import LEARN, PREFER, make_comparisons, make_device, make_version
from training import chains, child, services


@pytest.fixture
def sent(monkeypatch):
    """Nudges that would have gone to workers: the queues of devices."""
    nudges = []
    monkeypatch.setattr(current_app, "send_task", lambda name, kwargs, queue: nudges.append(kwargs["queue"]))
    return nudges


@pytest.fixture
def base_model(db):
    return BaseModel.objects.create(
        name="tiny", display_name="Tiny", source="built_in", location="/nowhere", directory=str(BUILT_IN["apex-demo"]),
        is_on_this_machine=True, sha256="0" * 64,
    )  # fmt: skip


@pytest.fixture
def version(alice):
    return make_version(alice)


@pytest.fixture
def device(db):
    """The one device of a machine without a GPU, as its worker announces it."""
    return make_device("cpu", kind="cpu")


@pytest.fixture
def job(alice, version, base_model, sent):
    return services.start_job(owner=alice, name="Coach", dataset_version=version, base_model=base_model)


@pytest.fixture
def nudged(monkeypatch):
    """Chains that were told to go on; None for whatever else would have been sent."""
    told = []
    monkeypatch.setattr(
        current_app, "send_task", lambda name, kwargs, queue: told.append(kwargs.get("chain_id"))
    )
    return told


@pytest.fixture
def comparisons(alice):
    return make_comparisons(alice)


@pytest.fixture
def chain(alice, version, comparisons, base_model, nudged):
    """Alice's chain of two stages, of which the first waits for a worker."""
    wishes = [
        chains.StageWish("sft", version, gate=LEARN),
        chains.StageWish("dpo", comparisons, gate=PREFER),
    ]
    return chains.start_chain(owner=alice, name="Coach", base_model=base_model, stages=wishes)


SAYS = """
import json, pathlib, sys, time
run = json.load(open(sys.argv[1]))
out = pathlib.Path(run["output_dir"])
def say(**event):
    print(json.dumps(event), flush=True)
def started(total=3):
    say(event="started", total_steps=total, epochs=1, batch_size=1, gradient_accumulation_steps=1, train_rows=8,
        held_out_rows=2, shortened_rows=0, dropped_turns=0, trainable_parameters=10, device="cpu",
        resumed_step=resumed())
def step(n, loss):
    say(event="step", step=n, epoch=n / 3, loss=loss, learning_rate=1e-4, grad_norm=1.0, tokens=10 * n,
        tokens_per_second=100.0, eta_seconds=3.0 - n)
def check(n, loss):
    say(event="evaluated", step=n, eval_loss=loss, eval_rows=2)
def checkpoint(n, content="", **more):
    path = pathlib.Path(run["checkpoints_dir"]) / f"step-{n:08d}"
    path.mkdir(parents=True)
    (path / "manifest.json").write_text(json.dumps({"step": n, "content": content}))
    say(event="checkpoint", step=n, path=str(path), size_bytes=1,
        **{"reason": "interval", "is_best": False, **more})
def resumed():
    "The step to go on from, by the checkpoint that was handed over; 0 from the start."
    return json.load(open(run["resume_from"] + "/manifest.json"))["step"] if run["resume_from"] else 0
def told():
    "Waits for a word of the worker."
    return sys.stdin.readline().strip()
def finished():
    adapter = out / "adapter"
    adapter.mkdir(parents=True)
    (adapter / "adapter_config.json").write_text("{}")
    say(event="finished", adapter_dir=str(adapter), steps=3, tokens=30, seconds=1.0, eval_loss_base=2.0, eval_loss=1.0,
        train_loss=1.1, peak_memory_bytes=1, library_versions={"torch": "2"})
"""


@pytest.fixture
def engine_says(monkeypatch, tmp_path):
    """`engine_says("started(); step(1, 2.0)")`: the child process runs these lines in place of a training."""

    def set_script(lines: str) -> None:
        script = tmp_path / "engine.py"
        script.write_text(SAYS + lines)
        monkeypatch.setattr(child, "ENGINE", [sys.executable, str(script)])

    return set_script
