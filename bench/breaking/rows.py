"""What the tables of the site say at the moment, read beside it: with SQLite's WAL a reader waits for nobody."""

import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path

ENDED = ("succeeded", "failed", "crashed", "cancelled")
JOBS = """
SELECT job.id, job.name, job.status, job.reason, job.step, job.total_steps, job.fence,
       attempt.worker, attempt.pid, attempt.beats
FROM training_trainingjob AS job
LEFT JOIN training_attempt AS attempt
  ON attempt.job_id = job.id AND attempt.token = job.fence AND attempt.ended_at IS NULL
ORDER BY job.rowid
"""
NEWEST_CHECKPOINT = """
SELECT step, directory_sha256 FROM training_checkpoint WHERE job_id = ? AND is_damaged = 0 ORDER BY step DESC LIMIT 1
"""


@dataclass(frozen=True)
class Job:
    """One training now. `worker_pid` and `engine_pid` are None unless an attempt has it."""

    id: str
    name: str
    status: str
    reason: str
    step: int
    total_steps: int
    fence: int
    worker_pid: int | None
    engine_pid: int | None
    beats: int | None

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED

    @property
    def is_held(self) -> bool:
        return self.status in ("running", "pausing") and self.worker_pid is not None


class Rows:
    """A connection for each thread that asks."""

    def __init__(self, data: Path):
        self.path = data / "apex.sqlite3"
        self._own = threading.local()

    def ask(self, sql: str, *values: object) -> list[tuple]:
        if not hasattr(self._own, "connection"):
            address = f"file:{self.path}?mode=ro"
            self._own.connection = sqlite3.connect(address, uri=True, isolation_level=None)
        return self._own.connection.execute(sql, values).fetchall()

    def jobs(self) -> list[Job]:
        found = []
        for key, name, status, reason, step, total, fence, worker, pid, beats in self.ask(JOBS):
            worker_pid = int(worker.rpartition(":")[2]) if worker else None
            found.append(Job(key, name, status, reason, step, total, fence, worker_pid, pid, beats))
        return found

    def newest_checkpoint(self, job_id: str) -> tuple[int, str] | None:
        """Step and hash of what the job would go on from now."""
        found = self.ask(NEWEST_CHECKPOINT, job_id)
        return found[0] if found else None

    def devices(self) -> dict[str, bool]:
        """Queue → whether nobody has that device."""
        found = self.ask("SELECT queue, holder_id FROM training_device")
        return {queue: holder is None for queue, holder in found}
