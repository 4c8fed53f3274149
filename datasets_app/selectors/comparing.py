"""Two versions side by side, as page and API show them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from apex.common import files
from datasets_app.deriving.comparing import Comparison, compare, turn_changes
from datasets_app.deriving.fingerprints import Fingerprints
from datasets_app.models import DatasetVersion

KINDS = ("changed", "only_first", "only_second", "moved")


class NotComparable(ValueError):
    """A version whose rows are not kept here; `str()` names it."""


@dataclass
class Compared:
    first: DatasetVersion
    second: DatasetVersion
    ones: Fingerprints
    twos: Fingerprints
    found: Comparison

    @property
    def counts(self) -> dict[str, int]:
        return {"same": self.found.same, **{kind: len(getattr(self.found, kind)) for kind in KINDS}}

    @property
    def is_same(self) -> bool:
        return not any(len(getattr(self.found, kind)) for kind in KINDS)

    @property
    def figures(self) -> list[dict[str, Any]]:
        """Sizes of both: `{"name", "first", "second"}`; `name` is a count, or the role whose messages are counted."""
        pairs = [
            ("rows", self.first.row_count, self.second.row_count),
            ("train", self.first.train_count, self.second.train_count),
            ("held_out", self.first.held_out_count, self.second.held_out_count),
            ("conversations", self.first.conversation_count, self.second.conversation_count),
            ("characters_mean", mean(self.ones), mean(self.twos)),
            ("characters_longest", longest(self.ones), longest(self.twos)),
        ]
        roles = {**self.ones.roles, **self.twos.roles}
        pairs += [
            (f"role:{name}", self.ones.roles.get(name, 0), self.twos.roles.get(name, 0)) for name in roles
        ]
        return [
            {"name": name, "first": one, "second": two, "difference": two - one} for name, one, two in pairs
        ]

    def rows(self, kind: str, start: int, stop: int) -> list[dict[str, Any]]:
        """Entries `start` to `stop` of a kind: numbers and rows of both sides, and the changes turn by turn."""
        numbers = getattr(self.found, kind)[start:stop]
        if kind == "only_first":
            rows = self.ones.rows_at(numbers.tolist())
            return [{"first": n, "row": row} for n, row in zip(numbers.tolist(), rows, strict=True)]
        if kind == "only_second":
            rows = self.twos.rows_at(numbers.tolist())
            return [{"second": n, "row": row} for n, row in zip(numbers.tolist(), rows, strict=True)]
        befores = self.ones.rows_at(numbers[:, 0].tolist())
        afters = self.twos.rows_at(numbers[:, 1].tolist())
        return [
            {
                "first": first,
                "second": second,
                "before": before,
                "row": after,
                "turns": turn_changes(before, after),
                "split": [before["split"], after["split"]],
            }
            for (first, second), before, after in zip(numbers.tolist(), befores, afters, strict=True)
        ]


def compared(first: DatasetVersion, second: DatasetVersion) -> Compared:
    """Raises NotComparable."""
    ones, twos = fingerprints_of(first), fingerprints_of(second)
    return Compared(first, second, ones, twos, compare(ones, twos))


def fingerprints_of(version: DatasetVersion) -> Fingerprints:
    if not version.rows_sha256 or version.erased_at:
        raise NotComparable(f"The rows of {version} are not kept here, so they cannot be compared.")
    kept = files.derived_path(version.rows_sha256, "fingerprints")
    return Fingerprints(files.local_path(version.rows_sha256), kept, version.pk)


def mean(rows: Fingerprints) -> int:
    return round(float(np.mean(rows.entries["characters"]))) if len(rows) else 0


def longest(rows: Fingerprints) -> int:
    return int(rows.entries["characters"].max()) if len(rows) else 0
