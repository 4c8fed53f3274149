"""The table of faults. Each takes (drive, job, rng) and returns what it did in words, or None for "not now"."""

import contextlib
import os
import random
import signal
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import redis
from celery import Celery
from kombu.exceptions import OperationalError

from apex.processes import broker
from bench.breaking.processes import START_SECONDS
from bench.breaking.rows import Job
from bench.breaking.site import SETTINGS

if TYPE_CHECKING:
    from bench.breaking.driving import Drive

LEASE_SECONDS = float(SETTINGS["APEX_LEASE_SECONDS"])
LOCK_SECONDS = 10
FULL_SECONDS = 4
CLOCK_SECONDS = 12
REST_SECONDS = (0.3, 5.0)  # how long a broker or a web server is away
TASK = "training.tasks.work_on_queue"
LOCK_SQLITE = ("BEGIN EXCLUSIVE",)
LOCK_POSTGRES = (
    "BEGIN",
    "SET LOCAL lock_timeout = '2s'",
    "LOCK TABLE training_trainingjob, training_attempt, training_device, training_node IN EXCLUSIVE MODE",
)
OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
CONNECTIONS = f"SELECT pid {OTHERS}"
CUT = f"SELECT pg_terminate_backend(pid) {OTHERS}"
Act = Callable[["Drive", Job, random.Random], str | None]


def kill_engine(drive: "Drive", job: Job, rng: random.Random) -> str | None:
    return f"engine {job.engine_pid} killed" if _signal(job.engine_pid, signal.SIGKILL) else None


def kill_worker(drive: "Drive", job: Job, rng: random.Random) -> str | None:
    return _end(drive, _worker(drive, job))


def drain_worker(drive: "Drive", job: Job, rng: random.Random) -> str | None:
    return _end(drive, _worker(drive, job), signal.SIGTERM)


def hold_worker(drive: "Drive", job: Job, rng: random.Random) -> str | None:
    """Longer than its lease: another worker has the job when it comes back. Its engine is held too, or goes on."""
    name = _worker(drive, job)
    if name is None:
        return None
    seconds = LEASE_SECONDS * rng.uniform(1.6, 2.2)
    with_engine = rng.random() < 0.5 and _signal(job.engine_pid, signal.SIGSTOP)
    drive.site.hold(name, seconds)
    if with_engine:
        drive.later(seconds, lambda: _signal(job.engine_pid, signal.SIGCONT))
    return f"{name} {'and its engine ' if with_engine else ''}stopped for {seconds:.1f} s"


def kill_web(drive: "Drive", job: Job, rng: random.Random) -> str | None:
    return _end(drive, "web", rest=rng.uniform(*REST_SECONDS))


def kill_sweeper(drive: "Drive", job: Job, rng: random.Random) -> str | None:
    return _end(drive, "worker-default")


def kill_scheduler(drive: "Drive", job: Job, rng: random.Random) -> str | None:
    return _end(drive, "scheduler")


def kill_broker(drive: "Drive", job: Job, rng: random.Random) -> str | None:
    return _end(drive, "broker", rest=rng.uniform(*REST_SECONDS))


def flush_broker(drive: "Drive", job: Job, rng: random.Random) -> str | None:
    """Everything in it is gone, and then it is too."""
    if not drive.site.is_at_work("broker"):
        return None
    with contextlib.closing(redis.Redis.from_url(drive.site.environment["APEX_REDIS_URL"])) as client:
        try:
            client.flushall()
        except redis.RedisError:  # it has been started and does not listen yet
            return None
    done = _end(drive, "broker", rest=rng.uniform(*REST_SECONDS))
    return done and f"{done} after it was flushed"


def deliver_again(drive: "Drive", job: Job, rng: random.Random) -> str | None:
    """Every worker is told of work many times over, by queues that are its own and one that is not."""
    if not drive.site.is_at_work("broker"):
        return None
    times = rng.randint(3, 12)
    app = Celery(broker=broker.celery_url(drive.site.environment["APEX_REDIS_URL"]))
    try:
        for queue in drive.rows.devices():
            for to in (queue, queue, "default"):
                for _ in range(times):
                    app.send_task(TASK, kwargs={"queue": queue}, queue=to, retry=False)
    except (OperationalError, redis.RedisError):
        return None
    finally:
        app.close()
    return f"each queue nudged {3 * times} times"


def lock_database(drive: "Drive", job: Job, rng: random.Random) -> str | None:
    """Somebody else holds the one lock of a SQLite file for writing, or PostgreSQL's of the tables that matter."""
    holder = drive.rows.connect()
    try:
        for words in LOCK_POSTGRES if drive.rows.postgres_url else LOCK_SQLITE:
            holder.execute(words)
    except (
        sqlite3.OperationalError,
        psycopg.OperationalError,
    ):  # a writer was faster, or another fault has it
        holder.close()
        return None
    drive.obstruct("database locked", LOCK_SECONDS, holder.close)
    return f"database locked for {LOCK_SECONDS} s"


def cut_connections(drive: "Drive", job: Job, rng: random.Random) -> str | None:
    """All connections to PostgreSQL end; or one of its processes is killed, so that it recovers from its log first."""
    if not drive.rows.postgres_url:
        return None
    others = [pid for (pid,) in drive.rows.ask(CONNECTIONS)]
    if others and rng.random() < 0.5:
        _signal(rng.choice(others), signal.SIGKILL)
        return f"one process of PostgreSQL killed, with it {len(others)} connections cut"
    drive.rows.ask(CUT)
    return f"{len(others)} connections to PostgreSQL cut"


def fill_disk(drive: "Drive", job: Job, rng: random.Random) -> str | None:
    """One of the small file systems, of the trainings at work or of what is stored, takes not one byte more."""
    if not drive.site.disks or drive.is_obstructed:
        return None
    disk = rng.choice(drive.site.disks)
    ballast = disk / "ballast"
    fill(ballast)
    drive.obstruct("disk full", FULL_SECONDS, lambda: ballast.unlink(missing_ok=True))
    return f"{disk.name} full for {FULL_SECONDS} s"


def fill(ballast: Path) -> None:
    """Writes until the file system has no room; once more a little later, for what was freed meanwhile."""
    with open(ballast, "ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(b"\0" * size):
                    continue


def set_clock(drive: "Drive", job: Job, rng: random.Random) -> str | None:
    """The clock of the worker that has the job jumps by an hour while it works, and later back."""
    name = _worker(drive, job)
    clock = drive.site.clocks.get(name.removeprefix("worker-")) if name else None
    if clock is None:
        return None
    seconds = rng.choice((-3600, 3600))
    clock.set_off(seconds)
    drive.later(CLOCK_SECONDS, lambda: clock.set_off(0))
    return f"clock of {name} off by {seconds} s for {CLOCK_SECONDS} s"


def flip_bit(drive: "Drive", job: Job, rng: random.Random) -> str | None:
    return _damage(drive, job, _flip, rng)


def truncate(drive: "Drive", job: Job, rng: random.Random) -> str | None:
    return _damage(drive, job, _cut, rng)


def kill_engine_in_write(drive: "Drive", job: Job, rng: random.Random) -> str | None:
    """Stopped first, to be sure that it is in the middle: the checkpoint has not got its name yet."""
    draft = next(iter(_work(drive, job, ".step-*")), None)
    if draft is None or not _signal(job.engine_pid, signal.SIGSTOP):
        return None
    if not draft.exists():
        _signal(job.engine_pid, signal.SIGCONT)
        return None
    _signal(job.engine_pid, signal.SIGKILL)
    written = sorted(path.name for path in draft.iterdir()) if draft.exists() else []
    return f"engine killed while it wrote {draft.name}, with {', '.join(written) or 'nothing'} in it"


def kill_worker_in_store(drive: "Drive", job: Job, rng: random.Random) -> str | None:
    """Killed while a checkpoint that the engine finished waits to be stored, or is."""
    name = _worker(drive, job)
    whole = next(iter(_work(drive, job, "step-*")), None)
    if name is None or whole is None:
        return None
    return _end(drive, name) and f"{name} killed before {whole.name} was stored"


@dataclass(frozen=True)
class Kind:
    """One row of the table. `interrupts`: the job needs another attempt. `is_watched`: it waits for a short moment."""

    weight: int
    act: Act
    interrupts: bool = False
    is_watched: bool = False


KINDS: dict[str, Kind] = {
    "engine killed": Kind(20, kill_engine, interrupts=True),
    "engine killed in mid-checkpoint": Kind(10, kill_engine_in_write, interrupts=True, is_watched=True),
    "worker killed": Kind(14, kill_worker, interrupts=True),
    "worker killed while it stores": Kind(6, kill_worker_in_store, interrupts=True, is_watched=True),
    "worker stopped beyond its lease": Kind(5, hold_worker, interrupts=True),
    "worker drained": Kind(8, drain_worker, interrupts=True),
    "checkpoint bit-flipped": Kind(6, flip_bit, interrupts=True),
    "checkpoint truncated": Kind(5, truncate, interrupts=True),
    "broker killed": Kind(5, kill_broker),
    "broker flushed and restarted": Kind(5, flush_broker),
    "delivered again": Kind(6, deliver_again),
    "web server killed": Kind(4, kill_web),
    "sweeper killed": Kind(4, kill_sweeper),
    "scheduler killed": Kind(4, kill_scheduler),
    "clock off by an hour": Kind(4, set_clock),
    "database locked 10 s": Kind(2, lock_database),
    "database connections cut": Kind(6, cut_connections),
    "disk full": Kind(4, fill_disk),
}
FOR_LORA = ("engine killed", "worker killed", "worker drained", "engine killed in mid-checkpoint")


def kinds_here(*, can_fill: bool, can_set_clocks: bool, is_postgres: bool) -> dict[str, int]:
    """Weight by name of what can be done on this machine, to this database."""
    missing = set() if is_postgres else {"database connections cut"}
    if not can_fill:
        missing |= {"disk full"}
    if not can_set_clocks:
        missing |= {"clock off by an hour"}
    return {name: kind.weight for name, kind in KINDS.items() if name not in missing}


# --- Means -----------------------------------------------------------------------------------------------------


def _worker(drive: "Drive", job: Job) -> str | None:
    """The name of the worker that has the job, if it is still that process and at work."""
    name = drive.site.worker_of(job.worker_pid) if job.worker_pid else None
    return name if name and drive.site.is_at_work(name) else None


def _end(
    drive: "Drive", name: str | None, number: int = signal.SIGKILL, rest: float = START_SECONDS
) -> str | None:
    if name is None or not drive.site.is_at_work(name):
        return None
    drive.site.end(name, number, rest)
    return f"{name} {'killed' if number == signal.SIGKILL else 'told to stop'}, away for {rest:.1f} s"


def _signal(pid: int | None, number: int) -> bool:
    """Whether there was such a process to signal."""
    try:
        os.kill(pid or 0, number) if pid else None
    except ProcessLookupError:
        return False
    return pid is not None


def _work(drive: "Drive", job: Job, pattern: str) -> list[Path]:
    """Checkpoints of the job's attempt as they are on their way: drafts (`.step-*`), or whole (`step-*`)."""
    work = drive.site.data / "work"
    return list(work.glob(f"{job.id}-*/checkpoints/{pattern}"))


def _damage(
    drive: "Drive", job: Job, harm: Callable[[Path, random.Random], str], rng: random.Random
) -> str | None:
    """Harms the newest stored checkpoint, then kills the engine, so that it would be needed."""
    newest = drive.rows.newest_checkpoint(job.id)
    if newest is None or job.engine_pid is None:
        return None
    step, sha256 = newest
    path = drive.site.data / "artifacts" / sha256[:2] / sha256
    try:
        done = harm(path, rng)
    except FileNotFoundError:  # pruned in this moment
        return None
    _signal(job.engine_pid, signal.SIGKILL)
    return f"checkpoint of step {step} {done}, engine killed"


def _flip(path: Path, rng: random.Random) -> str:
    place = rng.randrange(path.stat().st_size)
    with open(path, "r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ (1 << rng.randrange(8))]))
    return f"bit-flipped at byte {place}"


def _cut(path: Path, rng: random.Random) -> str:
    size = rng.randrange(path.stat().st_size)
    os.truncate(path, size)
    return f"cut to {size} bytes"
