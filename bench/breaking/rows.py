"""What the tables of the site say at the moment, read beside it: with either database a reader waits for nobody."""

import sqlite3
import threading
import time
import uuid
from dataclasses import dataclass

import psycopg

from bench.breaking.site import Site

ENDED = ("succeeded", "failed", "crashed", "cancelled")
# The web server's clock, which is never off, says when a job was made.
JOBS = """
SELECT job.id, job.name, job.status, job.reason, job.step, job.total_steps, job.fence,
       attempt.worker, attempt.pid, attempt.beats
FROM training_trainingjob AS job
LEFT JOIN training_attempt AS attempt
  ON attempt.job_id = job.id AND attempt.token = job.fence AND attempt.ended_at IS NULL
ORDER BY job.created_at
"""
NEWEST_CHECKPOINT = """
SELECT step, directory_sha256 FROM training_checkpoint
WHERE job_id = {job_id} AND NOT is_damaged ORDER BY step DESC LIMIT 1
"""
DEVICES = "SELECT queue, holder_id FROM training_device"
PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Job:
    """One training now. `worker_pid` and `engine_pid` are None unless an attempt has it."""

    id: uuid.UUID
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
    """A connection for each thread that asks; one that was cut is made anew."""

    def __init__(self, site: Site):
        self.path = site.data / "apex.sqlite3"
        self.postgres_url = site.database_url
        self._own = threading.local()

    def connect(self):
        """A connection of one's own. It is in autocommit mode: BEGIN begins a transaction."""
        if self.postgres_url:
            return psycopg.connect(self.postgres_url, autocommit=True, connect_timeout=5)
        return sqlite3.connect(self.path, isolation_level=None, timeout=2)

    def ask(self, sql: str) -> list[tuple]:
        """Asks again for a while if the database is away."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                if getattr(self._own, "connection", None) is None:
                    self._own.connection = self.connect()
                return self._own.connection.execute(sql).fetchall()
            except (psycopg.OperationalError, sqlite3.OperationalError):
                self._own.connection = None
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def jobs(self) -> list[Job]:
        found = []
        for key, name, status, reason, step, total, fence, worker, pid, beats in self.ask(JOBS):
            worker_pid = int(worker.rpartition(":")[2]) if worker else None
            job_id = key if isinstance(key, uuid.UUID) else uuid.UUID(key)
            found.append(Job(job_id, name, status, reason, step, total, fence, worker_pid, pid, beats))
        return found

    def newest_checkpoint(self, job_id: uuid.UUID) -> tuple[int, str] | None:
        """Step and hash of what the job would go on from now."""
        literal = f"'{job_id if self.postgres_url else job_id.hex}'"
        found = self.ask(NEWEST_CHECKPOINT.format(job_id=literal))
        return found[0] if found else None

    def devices(self) -> dict[str, bool]:
        """Queue → whether nobody has that device."""
        return {queue: holder is None for queue, holder in self.ask(DEVICES)}
