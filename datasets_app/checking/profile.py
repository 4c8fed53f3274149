"""What a file consists of: messages and characters by role, turns, lengths. For the report and its plots.

Rows come one by one (`see`) or as columns of the scanner (`see_many`); both add up to the same.
"""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from datasets_app.faults import Fault

from .texts import LISTS

if TYPE_CHECKING:
    from datasets_app.scanning.lines import Columns

# Conversations of more messages are counted together, under MORE.
TURNS_MOST = 40
MORE = f"more than {TURNS_MOST}"


class Profile:
    """The check that finds nothing and counts everything. Characters are Unicode code points."""

    def __init__(self) -> None:
        self.rows = 0
        self.longest = 0
        self.messages: Counter[str] = Counter()
        self.characters: Counter[str] = Counter()
        self.turns: Counter[int] = Counter()
        self.lengths: Counter[int] = Counter()  # number of binary digits of a row's characters → rows

    def see(self, row: dict[str, Any], kind: str) -> Iterator[Fault]:
        length = turns = 0
        if isinstance(row.get("text"), str):
            length = len(row["text"])
            self.characters["text"] += length
        for name in LISTS:
            for message in row.get(name) or ():
                turns += 1
                self.messages[message["role"]] += 1
                if isinstance(message.get("content"), str):
                    self.characters[message["role"]] += len(message["content"])
                    length += len(message["content"])
        self.rows += 1
        self.longest = max(self.longest, length)
        self.lengths[length.bit_length()] += 1
        if turns:
            self.turns[min(turns, TURNS_MOST + 1)] += 1
        yield from ()

    def see_many(self, columns: "Columns") -> None:
        """Chat rows that alternate between user and assistant, behind at most one system text."""
        import numpy as np

        count = columns.turns.size
        systems = int((columns.turns & 1).sum())
        pairs = (int(columns.turns.sum(dtype=np.uint64)) - systems) // 2
        self._add(self.messages, {"system": systems, "user": pairs, "assistant": pairs})
        by_role = {role: getattr(columns, role) for role in ("system", "user", "assistant")}
        self._add(
            self.characters, {role: int(column.sum(dtype=np.uint64)) for role, column in by_role.items()}
        )
        total = sum(column.astype(np.int64) for column in by_role.values())
        self.rows += count
        self.longest = max(self.longest, int(total.max()))
        self._add(self.lengths, dict(enumerate(np.bincount(np.frexp(total.astype(np.float64))[1]).tolist())))
        turns = np.minimum(columns.turns, TURNS_MOST + 1)
        self._add(self.turns, dict(enumerate(np.bincount(turns).tolist())))

    @staticmethod
    def _add(counter: Counter, counts: dict) -> None:
        counter.update({key: count for key, count in counts.items() if count})

    def finish(self) -> Iterator[Fault]:
        yield from ()

    def summary(self) -> dict[str, Any]:
        """`lengths`: rows of `from` to `to` characters; `answer_share`: of all characters, those of answers."""
        if not self.rows:
            return {}
        total = sum(self.characters.values())
        return {
            "messages": dict(sorted(self.messages.items())),
            "characters": dict(sorted((role, count) for role, count in self.characters.items() if count)),
            "turns": {str(n) if n <= TURNS_MOST else MORE: rows for n, rows in sorted(self.turns.items())},
            "lengths": [
                {"from": 1 << (bits - 1) if bits else 0, "to": (1 << bits) - 1, "rows": rows}
                for bits, rows in sorted(self.lengths.items())
            ],
            "longest": self.longest,
            "mean": round(total / self.rows, 1),
            "answer_share": round(self.characters["assistant"] / total, 4) if total else 0.0,
        }
