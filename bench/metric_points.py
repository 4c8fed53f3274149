"""The process of `bench.metrics` that has the database: writes, opens and trains, and says one figure a line."""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection, models, transaction  # noqa: E402
from django.test import Client  # noqa: E402

from accounts.models import User  # noqa: E402
from base_models.models import BaseModel  # noqa: E402
from tests.training.factories import make_version  # noqa: E402
from training import child, execution  # noqa: E402
from training.metrics.packing import gather  # noqa: E402
from training.metrics.store import LAST, MetricWriter, StoredSteps, last_step, read_blocks  # noqa: E402
from training.models import Status, TrainingJob  # noqa: E402

STEPS = int(os.environ.get("APEX_BENCH_STEPS", "1000000"))
POINTS = int(os.environ.get("APEX_BENCH_POINTS", "1000000"))
BATCH = 1000
ROUND = 100  # batches
ROUNDS = 3
OPENINGS = 20
SERIES = [
    "epoch",
    "loss",
    "learning_rate",
    "grad_norm",
    "tokens",
    "tokens_per_second",
    "memory_bytes",
    "time",
]


class OneRow(models.Model):
    """The peer's table: one row a step, as most would write it."""

    job = models.UUIDField()
    step = models.PositiveIntegerField()
    epoch = models.FloatField(null=True)
    loss = models.FloatField(null=True)
    learning_rate = models.FloatField(null=True)
    grad_norm = models.FloatField(null=True)
    tokens = models.BigIntegerField(null=True)
    tokens_per_second = models.FloatField(null=True)
    memory_bytes = models.BigIntegerField(null=True)
    time = models.FloatField(null=True)

    class Meta:
        app_label = "training"
        db_table = "bench_one_row"
        constraints = [models.UniqueConstraint(fields=["job", "step"], name="bench_one_row_per_step")]

    def __str__(self) -> str:
        return str(self.step)


def steps(first: int) -> list[dict]:
    """A batch of what an engine says, from this step on."""
    return [
        {"event": "step", "step": step, "epoch": step / 1e4, "loss": 2 + (step * 7919 % 1000) / 1e4,
         "learning_rate": 1e-4 / step, "grad_norm": 1 + (step * 104729 % 997) / 1e3, "tokens": 512 * step,
         "tokens_per_second": 1e4 + step % 77, "eta_seconds": 1.0, "memory_bytes": 2**33, "time": 1.7e9 + step / 9}
        for step in range(first, first + BATCH)
    ]  # fmt: skip


def say(figure: str, value: float, peer: float) -> None:
    print(json.dumps({"figure": figure, "value": value, "peer": peer}), flush=True)


def timed(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def write_ours(writer: MetricWriter, first: int) -> float:
    batch = steps(first)

    def write() -> None:
        with transaction.atomic():
            writer.write(gather(batch))

    return timed(write)


def write_peer(job, first: int) -> float:
    batch = steps(first)

    def write() -> None:
        with transaction.atomic():
            OneRow.objects.bulk_create(
                OneRow(job=job, step=event["step"], **{name: event[name] for name in SERIES})
                for event in batch
            )

    return timed(write)


def measure_writing(job: TrainingJob, peer_id) -> None:
    """In turns, `ROUND` batches each; then both are filled to `STEPS` for the curve. Checked: every step is there."""
    writer, rates, at = MetricWriter(job.pk), [], 1
    for _ in range(ROUNDS):
        begins = range(at, at + ROUND * BATCH, BATCH)
        ours = sum(write_ours(writer, first) for first in begins)
        theirs = sum(write_peer(peer_id, first) for first in begins)
        rates.append((ROUND * BATCH / ours, ROUND * BATCH / theirs))
        at += ROUND * BATCH
    say("written", statistics.median(rate for rate, _ in rates), statistics.median(rate for _, rate in rates))
    for first in range(at, STEPS + 1, BATCH):
        write_ours(writer, first)
        write_peer(peer_id, first)
    assert len(StoredSteps(job)) == last_step(job.pk) == OneRow.objects.filter(job=peer_id).count()


def measure_opening(job: TrainingJob, peer_id) -> None:
    client = Client(headers={"host": "localhost"})
    client.force_login(job.owner)
    address = f"/training/{job.pk}/points/?series=loss&columns=960"
    last = last_step(job.pk)
    tenth = f"&first={last // 2}&last={last // 2 + last // 10}"

    def peer(low: int = 0, high: int = LAST) -> int:
        rows = OneRow.objects.filter(job=peer_id, step__gte=low, step__lte=high).order_by("step")
        return len(json.dumps([list(row) for row in rows.values_list("step", "loss")]))

    assert client.get(address).json()["last"] == last  # once before, too: imports
    ours = statistics.median(timed(lambda: client.get(address)) for _ in range(OPENINGS)) * 1000
    zoomed = statistics.median(timed(lambda: client.get(address + tenth)) for _ in range(OPENINGS)) * 1000
    theirs = timed(peer) * 1000
    say("opened", ours, theirs)
    say("bytes", len(client.get(address).content), peer())
    say("zoomed", zoomed, timed(lambda: peer(last // 2, last // 2 + last // 10)) * 1000)


def measure_slowing(job: TrainingJob, folder: Path) -> None:
    """The worker's real loop around a child that works in blocks, saying its numbers in every other one.

    Each has a core of its own, as a training has that computes on a GPU or on the cores left by the worker.
    """
    if (cores := os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, set(range(1, cores)))
    told = folder / "blocks.json"
    child.ENGINE = [sys.executable, "-m", "bench.blocky_engine", str(told), str(POINTS)]
    execution.execute_job(str(job.pk))
    found = json.loads(told.read_text())
    assert sum(len(block) for block in read_blocks(job)) == found["said_steps"]
    say("slowed", found["said_ms"], found["silent_ms"])


def make_job(user, name: str) -> TrainingJob:
    return TrainingJob.objects.create(
        owner=user,
        name=name,
        dataset_version=make_version(user, name=name),
        base_model=BaseModel.objects.first(),
        config={"seed": 1},
        status=Status.QUEUED,
    )


def main() -> None:
    call_command("migrate", verbosity=0)
    with connection.schema_editor() as editor:
        editor.create_model(OneRow)
    user = User.objects.create_user("bench", password="x")
    BaseModel.objects.create(
        name="none", display_name="None", source="built_in", location="/", directory="/", sha256="0" * 64
    )
    if STEPS:
        measure_curve(make_job(user, "long"))
    measure_slowing(make_job(user, "slowed"), Path(os.environ["APEX_DATA_DIR"]))


def measure_curve(job: TrainingJob) -> None:
    measure_writing(job, job.pk)
    measure_opening(job, job.pk)


if __name__ == "__main__":
    main()
