"""Carries a schedule out on a running site, notes what was done, and finds trainings that nothing happens to."""

import heapq
import itertools
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from bench.breaking.faults import KINDS
from bench.breaking.owner import Owner, is_owners_business, latest_by_name
from bench.breaking.rows import Job, Rows
from bench.breaking.schedule import DRILLS, LOADING, LOADING_SECONDS, Fault, Task
from bench.breaking.site import Site

STUCK_SECONDS = 60
LOOK_SECONDS = 0.05
LATEST_AGAIN = 0.8  # of the place that a fault had, when it is tried in another training
WATCH_SECONDS = 0.001  # between two looks for a moment that is short


@dataclass(frozen=True)
class Done:
    """A fault that was done: to which training, at which of its steps and attempts."""

    fault: Fault
    task: str
    step: int
    fence: int
    what: str

    def __str__(self) -> str:
        return f"{self.fault} of {self.task} (attempt {self.fence}, step {self.step}): {self.what}"


@dataclass
class Course:
    """Where a task is in its life, as seen from outside."""

    task: Task
    held_fence: int = 0
    held_since: float = 0.0
    broken_fence: int = 0  # the attempt that a fault ended: the next fault waits for another
    seen: tuple = ()
    still_seconds: float = 0.0
    is_stuck: bool = False
    has_ended: bool = False
    waiting: list[Fault] = field(default_factory=list)


class Drive:
    """`run()` until every fault is done and every training has ended, or nothing happens to those that have not."""

    def __init__(self, site: Site, rows: Rows, owner: Owner, seed: int):
        self.site = site
        self.rows = rows
        self.owner = owner
        self.seed = seed
        self.courses: dict[str, Course] = {}
        self.left_over: list[Fault] = []
        self.done: list[Done] = []
        self.jobs: dict[str, Job] = {}
        self._later: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self._obstructions: set[str] = set()
        self._looked_at = 0.0

    def add(self, tasks: list[Task]) -> None:
        for task in tasks:
            self.courses[task.name] = Course(task, waiting=list(task.faults))
        self.owner.add(tasks)

    def run(self) -> None:
        while not self._is_over():
            self.site.tick()
            self._do_what_is_due()
            if time.monotonic() - self._looked_at >= LOOK_SECONDS:
                self._look()
            self._place_left_over()
            is_watching = self._strike()
            if not self.owner.thread.is_alive():
                raise RuntimeError("the owner's thread has ended")
            time.sleep(WATCH_SECONDS if is_watching else LOOK_SECONDS / 2)
        while self._later:  # what was obstructed is let go, whatever its time
            heapq.heappop(self._later)[2]()

    def settle(self, seconds: float) -> None:
        """Lets the site finish what it does on the side, such as closing attempts whose worker never came back."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.site.tick()
            time.sleep(LOOK_SECONDS)

    @property
    def stuck(self) -> list[str]:
        return [name for name, course in self.courses.items() if course.is_stuck]

    def _is_over(self) -> bool:
        alive = [course for course in self.courses.values() if not (course.has_ended or course.is_stuck)]
        return not alive and (not self.left_over or bool(self.stuck))

    # --- Time ---

    def later(self, seconds: float, act: Callable[[], object]) -> None:
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._numbers), act))

    def obstruct(self, what: str, seconds: float, act: Callable[[], object]) -> None:
        """Something for which nobody can do anything lasts until `act`: no training counts as stuck meanwhile."""
        self._obstructions.add(what)
        self.owner.may_try_again.clear()

        def clear() -> None:
            act()
            self._obstructions.discard(what)
            if not self._obstructions:
                self.owner.may_try_again.set()

        self.later(seconds, clear)

    @property
    def is_obstructed(self) -> bool:
        return bool(self._obstructions)

    def _do_what_is_due(self) -> None:
        while self._later and self._later[0][0] <= time.monotonic():
            heapq.heappop(self._later)[2]()

    # --- Looking ---

    def _look(self) -> None:
        now = time.monotonic()
        passed = min(now - self._looked_at, 1.0) if self._looked_at else 0.0
        self._looked_at = now
        self.jobs = latest_by_name(self.rows.jobs())
        has_idle_worker = self._has_idle_worker()
        for name, course in self.courses.items():
            if job := self.jobs.get(name):
                self._follow(course, job, passed, has_idle_worker)

    def _follow(self, course: Course, job: Job, passed: float, has_idle_worker: bool) -> None:
        if job.fence != course.held_fence:
            course.held_fence, course.held_since = job.fence, time.monotonic()
        if job.has_ended and not course.has_ended and not is_owners_business(job):
            course.has_ended = True
            self.left_over += course.waiting
            course.waiting = []
        seen = (job.id, job.status, job.step, job.fence, job.total_steps)
        if course.task.method != "drill":
            seen += (job.beats,)  # loading takes a real one so long that a worker at work counts as progress
        if seen != course.seen:
            course.seen, course.still_seconds = seen, 0.0
        elif not job.has_ended and not self.is_obstructed and (job.is_held or has_idle_worker):
            course.still_seconds += passed
        if course.still_seconds > STUCK_SECONDS and not course.is_stuck:
            course.is_stuck = True
            say(f"stuck: {job}")

    def _has_idle_worker(self) -> bool:
        """Whether a worker that is at work has nothing to do: then what waits should not."""
        free = self.rows.devices()
        at_work = filter(self.site.is_at_work, self.site.training_workers)
        return any(free.get(f"{name.removeprefix('worker-')}.cpu") for name in at_work)

    # --- Striking ---

    def _strike(self) -> bool:
        """Does the faults whose moment has come. True if one waits for a moment that is short."""
        is_watching = False
        for course in self.courses.values():
            job = self.jobs.get(course.task.name)
            if not course.waiting or job is None or not self._is_in_place(course, job):
                continue
            fault = course.waiting[0]
            kind = KINDS[fault.kind]
            is_watching = is_watching or kind.is_watched
            what = kind.act(self, job, random.Random(f"{self.seed}/{fault.number}"))
            if not what:
                continue
            course.waiting.pop(0)
            if kind.interrupts:
                course.broken_fence = job.fence
            self.done.append(Done(fault, job.name, job.step, job.fence, what))
            say(str(self.done[-1]))
        return is_watching

    def _is_in_place(self, course: Course, job: Job) -> bool:
        if not job.is_held or job.fence <= course.broken_fence:
            return False
        place = course.waiting[0].place
        if place < LOADING:
            return time.monotonic() - course.held_since >= place / LOADING * LOADING_SECONDS
        return job.total_steps > 0 and job.step >= (place - LOADING) / (1 - LOADING) * job.total_steps

    def _place_left_over(self) -> None:
        """Faults whose training was over before their moment strike one that has not begun, or another one."""
        if not self.left_over:
            return
        untouched = [
            c for c in self.courses.values() if c.task.name not in self.jobs and c.task.method == "drill"
        ]
        if untouched:
            course = untouched[0]
        elif all(course.has_ended or course.is_stuck for course in self.courses.values()) and not self.stuck:
            number = len(self.courses) + 1
            recipe = random.Random(f"{self.seed}/more {number}").choice(sorted(DRILLS))
            task = Task(f"one more {number}", recipe)
            self.add([task])
            course = self.courses[task.name]
        else:
            return
        # A moment that was too short for it once would be so again.
        again = [replace(fault, place=fault.place * LATEST_AGAIN) for fault in self.left_over[:3]]
        course.waiting = sorted([*course.waiting, *again], key=lambda fault: fault.place)
        del self.left_over[:3]


def say(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)
