"""From a training step to its point on a socket (p50, p99), with the row written first, and 1 or 50 pages open.

The worker's real loop runs around an engine that says a step every 50 ms, with the moment as its loss. Peer, in the
same run: the same moments published and received over the broker alone (redis-py), nothing kept.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import redis.asyncio
import websockets

from apex.processes.broker import redis_py_url
from bench.figures import figure
from bench.people import make_person, percentile
from tests.stack import ROOT, Stack

WARM_UP = 20  # points not counted
PREPARE = """
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.conf import settings
from accounts.models import User
from base_models.models import BaseModel
from datasets_app.models import DatasetVersion
from training.models import TrainingJob
user = User.objects.get(username="bench")
session = SessionStore()
session[SESSION_KEY], session[HASH_SESSION_KEY] = str(user.pk), user.get_session_auth_hash()
session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
session.save()
job = TrainingJob.objects.create(owner=user, name="live", dataset_version=DatasetVersion.objects.first(),
    base_model=BaseModel.objects.first(), queue="bench", config={"seed": 1})
print(session.session_key, job.pk, settings.REDIS_URL)
"""
RUN = """
import sys
from training import child, execution
child.ENGINE = [sys.executable, "-m", "bench.steady_engine"]
execution.execute_job("{job}")
"""


def measure() -> Iterator[dict]:
    """Yield p50 and p99 for one page and for fifty."""
    with tempfile.TemporaryDirectory(prefix="apex-bench-") as folder, Stack(Path(folder) / "data") as stack:
        make_person(stack)
        for pages in (1, 50):
            session, job, url = stack.manage("shell", "-v0", "-c", PREPARE).split()
            ours = asyncio.run(watch(stack, session, job, pages))
            theirs = asyncio.run(publish_and_receive(url, pages))
            for per_cent in (50, 99):
                values = percentile(ours, per_cent) * 1000, percentile(theirs, per_cent) * 1000
                name = f"training step → point on a socket, {pages} open, p{per_cent}"
                yield figure(name, values[0], "ms", "publish and receive alone", values[1])


async def watch(stack: Stack, session: str, job: str, pages: int) -> list[float]:
    """Seconds from each step to its arrival, on every one of `pages` sockets."""
    address = f"ws://127.0.0.1:{stack.port}/ws/training/jobs/{job}/"
    headers = {"Cookie": f"sessionid={session}", "Origin": stack.url}
    sockets = [await websockets.connect(address, additional_headers=headers) for _ in range(pages)]
    worker = subprocess.Popen(
        [sys.executable, "manage.py", "shell", "-v0", "-c", RUN.format(job=job)],
        cwd=ROOT,
        env=stack.environment,
    )
    try:
        found = await asyncio.gather(*(listen(socket) for socket in sockets))
    finally:
        worker.wait(60)
        for socket in sockets:
            await socket.close()
    return [delay for delays in found for delay in delays[WARM_UP:]]


async def listen(socket) -> list[float]:
    delays, last = [], 0
    async for text in socket:
        now, message = time.time(), json.loads(text)
        if message["type"] != "job.points":
            continue
        delays += [now - loss for _step, loss, _held in message["points"] if loss]
        last = message["points"][-1][0]
        if last >= message["total_steps"] > 0:
            return delays
    raise ConnectionError(f"the socket closed after step {last}")


async def publish_and_receive(url: str, listeners: int, count: int = 200) -> list[float]:
    """The same over the broker alone."""
    client = redis.asyncio.Redis.from_url(
        redis_py_url(url, db=5), max_connections=listeners + 10, socket_timeout=None
    )
    delays: list[float] = []

    async def receive() -> None:
        async with client.pubsub() as channel:
            await channel.subscribe("bench")
            got = 0
            async for message in channel.listen():
                if message["type"] == "message":
                    delays.append(time.time() - float(message["data"]))
                    got += 1
                    if got == count:
                        return

    receivers = [asyncio.create_task(receive()) for _ in range(listeners)]
    await asyncio.sleep(1)
    for _ in range(count):
        await client.publish("bench", repr(time.time()))
        await asyncio.sleep(0.02)
    await asyncio.gather(*receivers)
    await client.aclose()
    return delays
