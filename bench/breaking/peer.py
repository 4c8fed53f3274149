"""`python -m bench.breaking.peer FOLDER FAULTS SEED`: plain Celery under faults; what it lost, as one line of JSON."""

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import redis
from celery import Celery
from kombu.exceptions import OperationalError

from apex.processes import broker, places, plan
from apex.processes.child import Child
from bench.breaking.faults import KINDS
from bench.breaking.processes import Processes

VISIBILITY_SECONDS = 10
WORKERS = ("worker-1", "worker-2")
JOBS_PER_FAULT = 0.5
PAUSE_SECONDS = (1.0, 4.0)  # between two faults
WAITING_AT_ONCE = 6
STUCK_SECONDS = 60


class Peer(Processes):
    """A broker and two workers with one hand each, as Apex's are in the same trial."""

    def __init__(self, folder: Path, faults: int, seed: int):
        super().__init__(mark=("PLAIN_NOTES", str(folder / "notes")))
        self.rng = random.Random(seed)
        self.folder = folder
        self.url = os.environ["APEX_REDIS_URL"] = broker.socket_url(folder, "broker") + "?db=0"
        self.notes = folder / "notes"
        self.notes.touch()
        self.environment = {
            **os.environ,
            "PLAIN_BROKER_URL": broker.celery_url(self.url),
            "PLAIN_NOTES": str(self.notes),
            "PLAIN_VISIBILITY_SECONDS": str(VISIBILITY_SECONDS),
        }
        kinds = list(FAULTS)
        self.kinds = self.rng.choices(kinds, [KINDS[kind].weight for kind in kinds], k=faults)
        self.names = [f"job {index + 1}" for index in range(max(2, round(faults * JOBS_PER_FAULT)))]
        self.sent: list[str] = []
        self.app = Celery(broker=broker.celery_url(self.url))

    def run(self) -> dict:
        places.make_runtime_dir(self.folder)
        self._make_children()
        try:
            for name in self.children:
                self.tick_one(name)
                self.wait_for(name)
            done = self._break_things()
            self._wait_for_the_rest()
            return {"faults": done, "trainings": len(self.names), **self._verdict()}
        finally:
            self.end_all()
            places.remove_runtime_dir(self.folder)

    def _make_children(self) -> None:
        processes = [plan.broker_process(broker.find_server(), self.folder)]
        for name in WORKERS:
            words = f"-m celery -A bench.breaking.plain_celery worker --concurrency 1 -n {name}@%h --loglevel INFO"
            command = (sys.executable, *words.split(), "--without-gossip", "--without-mingle")
            processes.append(plan.Process(name=name, command=command, ready_text=" ready."))
        for process in processes:
            self.children[process.name] = Child(process, logs=self.folder, environment=self.environment)

    # --- Faults ---

    def _break_things(self) -> int:
        done = 0
        for kind in self.kinds:
            self._go_on(self.rng.uniform(*PAUSE_SECONDS))
            until = time.monotonic() + 20
            while not FAULTS[kind](self) and time.monotonic() < until:
                self._go_on(0.1)
            done += time.monotonic() < until
        return done

    def _go_on(self, seconds: float) -> None:
        """Looks after the processes and keeps some jobs waiting."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.tick()
            missing = [name for name in self.names if name not in self.sent]
            if missing and len(self.sent) - len(self.counted("done")) < WAITING_AT_ONCE:
                self.send(missing[0])
            time.sleep(0.05)

    def send(self, name: str) -> bool:
        """One job; False if the broker did not take it, and it is to be sent once more."""
        try:
            self.app.send_task("bench.breaking.plain_celery.train", args=[name], retry=False)
        except (OperationalError, redis.RedisError):
            return False
        if name not in self.sent:
            self.sent.append(name)
        return True

    def counted(self, word: str) -> Counter:
        """Job → how often it was `begun` or `done`."""
        lines = self.notes.read_text().splitlines()
        return Counter(line.removeprefix(f"{word} ") for line in lines if line.startswith(f"{word} "))

    def busy(self) -> str | None:
        """A worker that is at work, the same for the same draw."""
        ready = [name for name in WORKERS if self.is_at_work(name)]
        return self.rng.choice(ready) if ready else None

    def kill(self, name: str | None, number: int = signal.SIGKILL) -> bool:
        if name is None or not self.is_at_work(name):
            return False
        self.end(name, number)
        return True

    def kill_hand(self) -> bool:
        """The process in which the task runs, as our engine is."""
        name = self.busy()
        hands = psutil.Process(self.pid(name)).children() if name else []
        for hand in hands[:1]:
            hand.kill()
        return bool(hands)

    def hold_worker(self) -> bool:
        """Longer than what is not acknowledged stays invisible; its hand goes on."""
        name = self.busy()
        if name:
            self.hold(name, VISIBILITY_SECONDS * 1.6)
        return name is not None

    def flush(self) -> bool:
        if not self.is_at_work("broker"):
            return False
        redis.Redis.from_url(broker.redis_py_url(self.url, db=0)).flushall()
        return self.kill("broker")

    def deliver_again(self) -> bool:
        return bool(self.sent) and self.send(self.rng.choice(self.sent[-WAITING_AT_ONCE:]))

    # --- The end ---

    def _wait_for_the_rest(self) -> None:
        """Until all is done, or for so long nothing was begun or done although the workers are there."""
        seen, since = "", time.monotonic()
        while set(self.names) - set(self.counted("done")):
            self._go_on(0.5)
            now = self.notes.read_text()
            if now != seen:
                seen, since = now, time.monotonic()
            if time.monotonic() - since > STUCK_SECONDS:
                return
            if len(self.sent) == len(self.names) and self._holds() == 0 and time.monotonic() - since > 15:
                return  # nobody will ever begin what is missing

    def _holds(self) -> int:
        """Messages in the broker, waiting or not acknowledged."""
        try:
            client = redis.Redis.from_url(broker.redis_py_url(self.url, db=0))
            return client.llen("celery") + client.hlen("unacked")
        except redis.RedisError:
            return 1

    def _verdict(self) -> dict:
        done = self.counted("done")
        missing = sum(name not in done for name in self.names)
        is_waiting = self._holds() > 0
        return {
            "lost": 0 if is_waiting else missing,
            "stuck": missing if is_waiting else 0,
            "doubled": sum(count > 1 for count in done.values()),
        }


FAULTS: dict[str, Callable[[Peer], bool]] = {
    "engine killed": Peer.kill_hand,
    "worker killed": lambda peer: peer.kill(peer.busy()),
    "worker drained": lambda peer: peer.kill(peer.busy(), signal.SIGTERM),
    "worker stopped beyond its lease": Peer.hold_worker,
    "broker killed": lambda peer: peer.kill("broker"),
    "broker flushed and restarted": Peer.flush,
    "delivered again": Peer.deliver_again,
}


def main(words: list[str]) -> int:
    folder, faults, seed = words
    Path(folder).mkdir(parents=True)
    print(json.dumps(Peer(Path(folder), int(faults), int(seed)).run()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
