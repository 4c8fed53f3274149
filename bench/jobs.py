"""Job creation by HTTP (p50 and p99, 1 and 8 at once), and from the click to a worker that has started.

Peers, in the same run: a bare Django view with the same look-ups and inserts under the same server; a stock Celery
task on the same broker.
"""

import datetime
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import redis

from apex.processes import broker
from bench.figures import figure
from bench.people import call, make_person, percentile, timed
from tests.stack import ROOT, Stack, free_port

CALLS = 160
STARTS = 12
JOBS = "/api/v1/training/jobs/"


def measure() -> Iterator[dict]:
    """Yield the figures of creation, then those of starting."""
    with tempfile.TemporaryDirectory(prefix="apex-bench-") as folder, Stack(Path(folder) / "data") as stack:
        token, dataset = make_person(stack)
        body = {
            "name": "Bench",
            "dataset": dataset,
            "base_model": "apex-demo",
            "method": "sft",
            "config": {"epochs": 1},
        }
        yield from creation(stack, token, body)
        yield from starting(stack, token, body)


def creation(stack: Stack, token: str, body: dict) -> Iterator[dict]:
    """Ours and the bare view in turns. A long job holds the worker, so that only creating is measured."""
    holder = call(stack.port, "POST", JOBS, token, body | {"config": {"epochs": 100, "min_steps": 100_000}})
    port = free_port()
    bare = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "bench.bare_django:application", "--port", str(port), "--no-access-log",
         "--log-level", "warning"],
        cwd=ROOT,
        env={**os.environ, "BARE_DATABASE": str(stack.data / "bare.sqlite3")},
    )  # fmt: skip
    try:
        wait_for_port(port)
        call(port, "POST", "/tables/", token, {})
        for at_once in (1, 8):
            ours, theirs = [], []
            for _round in range(4):
                ours += timed(CALLS // 4, at_once, lambda: call(stack.port, "POST", JOBS, token, body))
                theirs += timed(CALLS // 4, at_once, lambda: call(port, "POST", "/jobs/", token, body))
            for per_cent in (50, 99):
                name = f"job creation by HTTP, {at_once} at once, p{per_cent}"
                values = percentile(ours, per_cent) * 1000, percentile(theirs, per_cent) * 1000
                yield figure(name, values[0], "ms", "bare Django view, same queries", values[1])
    finally:
        bare.terminate()
        bare.wait()
        cancel_all(stack, token)
        wait_until_ended(stack, token, holder["id"])


def starting(stack: Stack, token: str, body: dict) -> Iterator[dict]:
    """Seconds from before the POST until a worker has claimed the job, the worker being idle."""
    url = stack.manage(
        "shell", "-v0", "-c", "from django.conf import settings; print(settings.REDIS_URL)"
    ).strip()
    worker = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "bench.stock_celery",
            "worker",
            "--pool",
            "solo",
            "--loglevel",
            "ERROR",
        ],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,  # its banner is no figure
        stderr=subprocess.DEVNULL,
        env={**os.environ, "APEX_REDIS_URL": url},
    )
    try:
        os.environ["APEX_REDIS_URL"] = url
        from bench.stock_celery import note

        notes = redis.Redis.from_url(broker.redis_py_url(url, db=4))
        stock_start(note, notes)  # waits until the worker is up
        ours, theirs = [], []
        for _ in range(STARTS):
            ours.append(our_start(stack, token, body))
            theirs.append(stock_start(note, notes))
        for per_cent in (50, 99):
            values = percentile(ours, per_cent) * 1000, percentile(theirs, per_cent) * 1000
            yield figure(
                f"click → worker started, p{per_cent}", values[0], "ms", "stock Celery task", values[1]
            )
    finally:
        worker.terminate()
        worker.wait()


def our_start(stack: Stack, token: str, body: dict) -> float:
    begun = time.time()
    job = call(stack.port, "POST", JOBS, token, body)
    while not (found := call(stack.port, "GET", f"{JOBS}{job['id']}/", token))["started_at"]:
        time.sleep(0.02)
    call(stack.port, "POST", f"{JOBS}{job['id']}/cancel/", token)
    wait_until_ended(stack, token, job["id"])
    return datetime.datetime.fromisoformat(found["started_at"]).timestamp() - begun


def stock_start(note, notes: redis.Redis) -> float:
    begun = time.time()
    note.delay("started")
    answer = notes.blpop("started", timeout=60)
    assert answer, "the stock worker did not answer within 60 s"
    return float(answer[1]) - begun


def cancel_all(stack: Stack, token: str) -> None:
    while jobs := call(stack.port, "GET", f"{JOBS}?status=queued&page_size=500", token)["results"]:
        for job in jobs:
            call(stack.port, "POST", f"{JOBS}{job['id']}/cancel/", token)
    for job in call(stack.port, "GET", f"{JOBS}?status=running", token)["results"]:
        call(stack.port, "POST", f"{JOBS}{job['id']}/cancel/", token)


def wait_until_ended(stack: Stack, token: str, job_id: str) -> None:
    """Until the worker has let go of the job: its child is gone and the next claim finds it idle."""
    count = f"Attempt.objects.filter(job='{job_id}', ended_at=None).count()"
    command = f"from training.models import Attempt; print({count})"
    while stack.manage("shell", "-v0", "-c", command).strip() != "0":
        time.sleep(0.2)


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"nothing listens on port {port}")
