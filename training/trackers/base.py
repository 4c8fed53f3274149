"""What a tracker is: a program elsewhere that shows the numbers of trainings beside those of other tools."""

from dataclasses import dataclass, field
from typing import Protocol


class TrackerAway(Exception):
    """It cannot be reached, or does not want what it is sent. The message holds no secret."""


@dataclass(frozen=True)
class Run:
    """What a tracker is told of a job. The same job is always the same run, however many attempts it takes."""

    job: str
    name: str
    owner: str
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


class Tracker(Protocol):
    """One run in one program. Every method may take seconds and raise `TrackerAway`; after that it is called again."""

    name: str

    def open(self, run: Run) -> int:
        """Begins the run, or goes on with it; returns the highest step that it has, -1 if none."""

    def log(self, rows: list[dict]) -> None:
        """Takes steps in order: `{"step", "time" (seconds since 1970), series: number or None …}`."""

    def close(self, status: str) -> None:
        """`status` of the job, as it stands at the end of an attempt; one that has not ended goes on later."""
