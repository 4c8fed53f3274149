"""The engine as a child process: its own process group, its events as JSON lines, and a sure end."""

import contextlib
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from django.conf import settings

from apex.common.children import without_secrets
from apex.settings.queues import device_of

logger = logging.getLogger(__name__)
GRACE_SECONDS = 5
LOG_TAIL_BYTES = 8000
END = object()
ENGINE = [sys.executable, "-m", "training.engine"]


def visible_devices(queues: Sequence[str]) -> str:
    """Value of `CUDA_VISIBLE_DEVICES` for a child that has the devices of these queues; empty hides every GPU."""
    devices = [device_of(queue) for queue in queues]
    return ",".join(str(index) for kind, index in devices if kind == "gpu")


class EngineChild:
    """`with EngineChild(...) as child:` starts `python -m training.engine`; leaving ends the whole process group.

    The child also watches its standard input, which closes if this worker dies, and ends by itself. If the
    description asks for several processes it becomes their launcher, and they end with it.
    `queues`: of the devices that it has.
    """

    def __init__(self, description: dict, *, folder: Path, queues: Sequence[str]):
        self.folder = folder
        self.devices = visible_devices(queues)
        self.log_path = folder / "engine.log"
        self.run_path = folder / "run.json"
        self.run_path.write_text(json.dumps(description))
        self.events: queue.Queue = queue.Queue()

    def __enter__(self) -> "EngineChild":
        environment = without_secrets(os.environ)
        environment |= {"CUDA_VISIBLE_DEVICES": self.devices, "PYTHONUNBUFFERED": "1"}
        environment |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        # Idle threads of torch sleep: spinning, they would take the processors from the site and the serving.
        environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        self.log = open(self.log_path, "wb")
        self.process = subprocess.Popen(
            [*ENGINE, str(self.run_path)],
            cwd=settings.BASE_DIR,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            start_new_session=True,
        )
        threading.Thread(target=self._read, name="engine-events", daemon=True).start()
        return self

    def __exit__(self, *exception) -> None:
        self.end()
        self.log.close()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def returncode(self) -> int:
        return self.process.returncode

    def _read(self) -> None:
        for line in self.process.stdout:
            try:
                event = json.loads(line)
                event["event"]
            except (ValueError, KeyError, TypeError):
                logger.warning("the engine said something that is no event: %r", line[:200])
                continue
            self.events.put(event)
        self.events.put(END)

    def next_event(self, timeout: float) -> dict | None:
        """The next event, or None if there is none within `timeout` seconds or there will be none."""
        try:
            event = self.events.get(timeout=timeout)
        except queue.Empty:
            return None
        if event is END:
            self.events.put(END)
            return None
        return event

    def has_ended(self) -> bool:
        """True once the child is gone and everything it said has been read."""
        if not (self.events.queue and self.events.queue[0] is END):
            return False
        return self.process.poll() is not None

    def tell(self, word: str) -> None:
        """Says `checkpoint` or `pause` to the engine; nothing happens if it has ended."""
        try:
            self.process.stdin.write(f"{word}\n".encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            logger.info("engine %s has ended before it could be told to %s", self.pid, word)

    def end(self) -> None:
        """Ends the group: a polite signal, then, after a grace, one that cannot be ignored."""
        if self.process.poll() is None:
            self._signal(signal.SIGTERM)
            try:
                self.process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                logger.warning("engine %s did not end in %s s; killed", self.pid, GRACE_SECONDS)
        self._signal(signal.SIGKILL)  # whatever is left of its group
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):  # a word that it did not read any more
            self.process.stdin.close()

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            logger.debug("engine group %s is gone", self.process.pid)

    def log_tail(self) -> str:
        """The end of what it wrote to standard error."""
        with open(self.log_path, "rb") as log:
            log.seek(max(0, self.log_path.stat().st_size - LOG_TAIL_BYTES))
            return log.read().decode(errors="replace")
