"""The person whose trainings they are: starts them by HTTP, however often the site is away, and tries again.

In a thread of its own, so that an answer that is late holds nothing up.
"""

import http.client
import json
import threading
import time
import urllib.parse

from bench.breaking.rows import Job, Rows
from bench.breaking.schedule import Task
from bench.people import make_person

JOBS = "/api/v1/training/jobs/"
UNFINISHED_AT_ONCE = 6
PATIENCE_SECONDS = 30  # for one answer: a locked database takes its time
# The owner makes room and presses "Try again"; nothing else is taken for the owner's own business.
OWNERS_BUSINESS = ("disk_full",)


class Owner:
    """Starts tasks in order, never more than some at once. `tries_again` counts the presses of that button."""

    def __init__(self, site, rows: Rows):
        self.site = site
        self.rows = rows
        self.token, self.dataset = make_person(site)
        self.tasks: list[Task] = []
        self.asked: set[str] = set()
        self.tries_again = 0
        self.answers_late = 0
        self.may_try_again = threading.Event()
        self.may_try_again.set()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, name="owner", daemon=True)

    def __enter__(self) -> "Owner":
        self.thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.over.set()
        self.thread.join()

    def add(self, tasks: list[Task]) -> None:
        self.tasks.extend(tasks)

    def _run(self) -> None:
        while not self.over.wait(0.2):
            latest = latest_by_name(self.rows.jobs())
            unfinished = sum(not job.has_ended for job in latest.values())
            missing = [task for task in list(self.tasks) if task.name not in latest]
            if missing and unfinished < UNFINISHED_AT_ONCE:
                self._start(missing[0])
            for job in latest.values():
                if is_owners_business(job) and self.may_try_again.is_set():
                    self._try_again(job)

    def _start(self, task: Task) -> None:
        self.asked.add(task.name)
        body = {
            "name": task.name,
            "dataset": self.dataset,
            "base_model": "apex-demo",
            "method": task.method,
            "config": task.config,
        }
        # An answer that never came may have been a yes: the rows say, and the next round looks there first.
        self._post(JOBS, body)

    def _try_again(self, job: Job) -> None:
        if self._post(f"{JOBS}{job.id}/retry/"):
            self.tries_again += 1

    def _post(self, path: str, body: dict | None = None) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.site.port, timeout=PATIENCE_SECONDS)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        try:
            connection.request("POST", path, body=json.dumps(body or {}), headers=headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self.answers_late += 1
            time.sleep(0.3)
            return False
        finally:
            connection.close()
        if 400 <= answer.status < 500:
            raise ValueError(f"POST {urllib.parse.unquote(path)}: {answer.status} {content[:500]!r}")
        return answer.status < 300


def latest_by_name(jobs: list[Job]) -> dict[str, Job]:
    """The newest job of each name: one that was tried again is its retry."""
    return {job.name: job for job in jobs}


def is_owners_business(job: Job) -> bool:
    return job.status == "failed" and job.reason in OWNERS_BUSINESS
