"""Experience (XP) and rank, computed from trainings and use; never kept as points that could drift from the truth."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext_lazy as _

# (how much there is of it, points): linear between, flat beyond the last.
BREAKPOINTS = ((0, 0), (10, 20), (100, 200), (500, 750), (4800, 1400), (20000, 2600))
RANKS = (
    (0, _("Novice")),
    (20, _("Apprentice")),
    (200, _("Skilled")),
    (750, _("Expert")),
    (1400, _("Master")),
    (2600, _("Autonomous")),
)


def points(amount: int) -> int:
    """Points for so many examples learned, or answers given."""
    for (low, below), (high, above) in zip(BREAKPOINTS, BREAKPOINTS[1:], strict=False):
        if amount <= high:
            return round(below + (above - below) * max(0, amount - low) / (high - low))
    return BREAKPOINTS[-1][1]


@dataclass(frozen=True, slots=True)
class Experience:
    """`examples`: different ones that succeeded trainings learned from; `answers`: given, and not called bad."""

    examples: int
    answers: int

    @property
    def xp(self) -> int:
        return points(self.examples) + points(self.answers)

    @property
    def rank(self) -> str:
        return next(str(name) for least, name in reversed(RANKS) if self.xp >= least)

    @property
    def next_rank(self) -> tuple[str, int] | None:
        """Its name and how many points are missing; None at the top."""
        return next(((str(name), least - self.xp) for least, name in RANKS if least > self.xp), None)

    @property
    def share(self) -> int:
        """Percent of the way from this rank to the next."""
        least = max(one for one, _name in RANKS if self.xp >= one)
        nxt = next((one for one, _name in RANKS if one > self.xp), None)
        return 100 if nxt is None else round(100 * (self.xp - least) / (nxt - least))

    def told(self) -> dict:
        return {"xp": self.xp, "rank": self.rank, "examples": self.examples, "answers": self.answers}
