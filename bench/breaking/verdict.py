"""Compares what became of the trainings with their undisturbed twins, and looks for two at work at once.

Order is that of the rows of the history, not of any clock: clocks are among what is broken.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from bench.breaking.schedule import Task

TERMINAL = {"job.succeeded", "job.failed", "job.crashed", "job.cancelled"}
LET_GO = TERMINAL | {"job.requeued", "training.paused"}


@dataclass
class Verdict:
    """Names of trainings, with what is wrong in words. `later_resumes` of `resumes` began beyond step 0."""

    trainings: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unequal: list[str] = field(default_factory=list)
    attempts: int = 0
    resumes: int = 0
    later_resumes: int = 0
    most_steps_again: int = 0

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.doubled or self.unequal)

    @property
    def share_of_later_resumes(self) -> float:
        return self.later_resumes / self.resumes if self.resumes else 0.0

    def __str__(self) -> str:
        said = [
            f"{self.trainings} trainings, {self.attempts} attempts; {self.later_resumes} of {self.resumes} resumes "
            f"beyond step 0, at most {self.most_steps_again} steps made again"
        ]
        for what in ("lost", "doubled", "unequal"):
            said += [f"{what}: {words}" for words in getattr(self, what)]
        return "\n".join(said)


def judge(tasks: Iterable[Task], written: list[dict]) -> Verdict:
    """`written` by `writing_down`, the twins among them."""
    verdict = Verdict()
    by_name: dict[str, list[dict]] = {}
    for job in written:
        by_name.setdefault(job["name"], []).append(job)
    for task in tasks:
        verdict.trainings += 1
        jobs = by_name.get(task.name, [])
        if fault := why_lost(jobs):
            verdict.lost.append(f"{task.name}: {fault}")
            continue
        twin = by_name[f"twin of {task.recipe}"][0]
        if fault := why_unequal(jobs[-1], twin):
            verdict.unequal.append(f"{task.name}: {fault}")
    for job in written:
        for fault in why_doubled(job):
            verdict.doubled.append(f"{job['name']}: {fault}")
        count_resumes(verdict, job)
    verdict.doubled += held_twice(written)
    return verdict


def why_lost(jobs: list[dict]) -> str:
    """Empty if the last of the jobs of one name succeeded, and those before failed for want of room only."""
    if not jobs:
        return "there is no such job"
    for job in jobs[:-1]:
        if (job["status"], job["reason"]) != ("failed", "disk_full"):
            return f"a second job was made although the first is {job['status']} {job['reason']}"
    last = jobs[-1]
    if last["status"] != "succeeded":
        return f"{last['status']} {last['reason']}: {last['message']}"
    return "" if last["adapters"] else "succeeded without an adapter"


def why_unequal(job: dict, twin: dict) -> str:
    """Empty if the weights and every number of every step are those of the twin, bit for bit."""
    if job["adapters"][-1:] != twin["adapters"][-1:]:
        return "its adapter has other weights than its twin's"
    if len(job["steps"]) != len(twin["steps"]):
        return f"{len(job['steps'])} steps, its twin has {len(twin['steps'])}"
    for ours, theirs in zip(job["steps"], twin["steps"], strict=True):
        if ours != theirs:
            return f"step {ours[0]} is {ours[1:]}, its twin's {theirs[0]} is {theirs[1:]}"
    return ""


def why_doubled(job: dict) -> list[str]:
    """A step twice or not in order, more than one adapter, more than one end, a fence that does not count up."""
    faults = []
    numbers = [step[0] for step in job["steps"]]
    if any(after != before + 1 for before, after in zip(numbers, numbers[1:], strict=False)):
        faults.append(f"steps do not follow each other: {numbers}")
    if len(job["adapters"]) > 1:
        faults.append(f"{len(job['adapters'])} adapters")
    ends = [event["kind"] for event in job["events"] if event["kind"] in TERMINAL]
    if len(ends) > 1:
        faults.append(f"it ended more than once: {', '.join(ends)}")
    tokens = [event["data"]["token"] for event in job["events"] if event["kind"] == "job.started"]
    if tokens != list(range(1, len(tokens) + 1)):
        faults.append(f"attempts out of order: {tokens}")
    faults += [f"attempt {a['token']} was never closed" for a in job["attempts"] if not a["has_ended"]]
    return faults


def held_twice(written: list[dict]) -> list[str]:
    """Devices that two jobs had at once, by the order of the history of all."""
    holders: dict[str, str] = {}
    faults = []
    events = sorted((event["id"], job["name"], event) for job in written for event in job["events"])
    for _number, name, event in events:
        if event["kind"] == "job.started":
            for device in event["data"]["devices"]:
                if device in holders:
                    faults.append(f"{device} was given to {name} while {holders[device]} had it")
                holders[device] = name
        elif event["kind"] in LET_GO:
            holders = {device: holder for device, holder in holders.items() if holder != name}
    return faults


def count_resumes(verdict: Verdict, job: dict) -> None:
    """Adds to the verdict's figures; a damaged checkpoint is meant to cost more than one interval."""
    attempts = job["attempts"]
    verdict.attempts += len(attempts)
    was_damaged = any(event["kind"] == "training.checkpoint_damaged" for event in job["events"])
    came_to = 0
    for attempt in attempts:
        if attempt["token"] > 1 and attempt["last_step"]:
            verdict.resumes += 1
            verdict.later_resumes += attempt["resumed_step"] > 0
            if not was_damaged:
                verdict.most_steps_again = max(verdict.most_steps_again, came_to - attempt["resumed_step"])
        came_to = max(came_to, attempt["last_step"])
