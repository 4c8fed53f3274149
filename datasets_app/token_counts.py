"""What the rows of a version add up to when a base model reads them. No Django inside.

Rows are counted by their exact length, so that any `max_length` can be asked of the counts afterwards.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from datasets_app import token_view
from rendering import Renderer, RenderError

SHARES = 10  # bars of the plot of trained shares
BARS = 36  # of the plot of lengths, the last one open
NICE = (1, 2, 5)


@dataclass(frozen=True)
class Measured:
    """One row: tokens, those learned, and what is left when all turns but the last are dropped.

    Of a preference these are of the longer of the two conversations, and `sides` are the tokens of both: prompt with
    chosen, prompt with rejected. With `refusal` the model cannot read it: no counts.
    """

    tokens: int = 0
    trained: int = 0
    shortest: int = 0
    refusal: str = ""
    sides: tuple[int, ...] = ()

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens of each conversation that a training reads of this row."""
        return self.sides or (self.tokens,)


def measure_row(renderer: Renderer, row: dict[str, Any], kind: str) -> Measured:
    try:
        found = token_view.render_row(renderer, row, kind)
        longest = max(found, key=lambda one: len(one.token_ids))
        return Measured(
            len(longest.token_ids),
            longest.trained_tokens,
            token_view.shortest(renderer, row, kind, found),
            sides=tuple(len(one.token_ids) for one in found) if len(found) > 1 else (),
        )
    except RenderError as problem:
        return Measured(refusal=str(problem))


@dataclass
class TokenCounts:
    """Sums over measured rows; `as_dict` and `from_dict` keep them as JSON."""

    rows: int = 0
    tokens: Counter[int] = field(default_factory=Counter)  # length in tokens → rows
    shortest: Counter[int] = field(default_factory=Counter)
    trained_tokens: int = 0
    shares: list[int] = field(default_factory=lambda: [0] * SHARES)
    refused: int = 0
    first_refusal: dict[str, Any] | None = None

    def add(self, measured: Measured, number: int, line: int | None) -> None:
        """Counts one row; `number` is its place from 1."""
        self.rows += 1
        if measured.refusal:
            self.refused += 1
            if self.first_refusal is None or number < self.first_refusal["number"]:
                self.first_refusal = {"number": number, "line": line, "why": measured.refusal}
            return
        self.tokens[measured.tokens] += 1
        self.shortest[measured.shortest] += 1
        self.trained_tokens += measured.trained
        self.shares[min(SHARES - 1, measured.trained * SHARES // max(1, measured.tokens))] += 1

    def as_dict(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "tokens": sorted(self.tokens.items()),
            "shortest": sorted(self.shortest.items()),
            "trained_tokens": self.trained_tokens,
            "shares": self.shares,
            "refused": self.refused,
            "first_refusal": self.first_refusal,
        }

    @classmethod
    def from_dict(cls, kept: dict[str, Any]) -> "TokenCounts":
        counters = {name: Counter(dict(kept[name])) for name in ("tokens", "shortest")}
        return cls(**{**kept, **counters})

    def facts(self, max_length: int) -> dict[str, Any]:
        """Numbers for page and API. Shares are parts of 1, of the rows that the model can read."""
        readable = self.rows - self.refused
        total = sum(length * rows for length, rows in self.tokens.items())
        longer = sum(rows for length, rows in self.tokens.items() if length > max_length)
        left_out = sum(rows for length, rows in self.shortest.items() if length > max_length)
        return {
            "rows": self.rows,
            "readable_rows": readable,
            "tokens": total,
            "trained_tokens": self.trained_tokens,
            "trained_share": round(self.trained_tokens / total, 4) if total else 0.0,
            "mean": round(total / readable, 1) if readable else 0.0,
            "median": self._at(0.5),
            "percentile_95": self._at(0.95),
            "longest": max(self.tokens, default=0),
            "max_length": max_length,
            "shortened_rows": longer - left_out,
            "left_out_rows": left_out,
            "longer_share": round(longer / readable, 4) if readable else 0.0,
            "refused_rows": self.refused,
            "first_refusal": self.first_refusal,
            "histogram": self.histogram(),
            "trained_share_histogram": [
                {"from": bar / SHARES, "to": (bar + 1) / SHARES, "rows": rows}
                for bar, rows in enumerate(self.shares)
            ],
        }

    def histogram(self) -> list[dict[str, Any]]:
        """Rows by length in bars of a round width; `to` is the last length of the bar, None: all that are longer."""
        width = _nice_width(max(1, self._at(0.99)) / (BARS - 1))
        bars = Counter[int]()
        for length, rows in self.tokens.items():
            bars[min(length // width, BARS - 1)] += rows
        last = max(bars, default=-1)
        return [
            {"from": bar * width, "to": None if bar == BARS - 1 else (bar + 1) * width - 1, "rows": bars[bar]}
            for bar in range(last + 1)
        ]

    def _at(self, part: float) -> int:
        """The length that `part` of the readable rows do not exceed."""
        wanted, seen = part * sum(self.tokens.values()), 0
        for length, rows in sorted(self.tokens.items()):
            seen += rows
            if seen >= wanted:
                return length
        return 0


def _nice_width(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, … that is no less than `least`."""
    power = 1
    while True:
        for factor in NICE:
            if factor * power >= least:
                return factor * power
        power *= 10
