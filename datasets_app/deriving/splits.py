"""Another split: which conversations are kept aside as a test, drawn anew, whole conversations only."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from datasets_app.checking.languages import answer_in, language_of
from datasets_app.curation.row_keys import row_key
from datasets_app.splitting import HELD_OUT, TRAIN

from .filters import characters_of, has_tools, messages_of, turns_of
from .material import BadRecipe, Judgement, Material, Row
from .rows import number_of

STRATA_SHOWN = 50
OTHERS = "…"  # the name of all strata beyond STRATA_MOST
STRATA_MOST = 500


class SplitSettings(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """About `share` of the rows are kept aside, in each group of `by` alike. The same seed draws the same."""

    share: Annotated[float, Meta(gt=0, le=0.9)] = 0.12
    seed: Annotated[int, Meta(ge=0, le=2**53)] = 0
    by: Literal["", "language", "length", "turns", "system", "tools", "tag"] = ""


@dataclass
class Group:
    """The conversations of one stratum: key → rows."""

    conversations: dict[int, int]

    @property
    def rows(self) -> int:
        return sum(self.conversations.values())


class Splitting:
    """Two readings: the first counts the conversations, the second writes. Memory: two numbers a conversation."""

    def __init__(self, material: Material, settings: SplitSettings) -> None:
        self.material, self.settings = material, settings
        self.told: dict[str, Any] = {}

    def __iter__(self) -> Iterator[Row]:
        groups = self.groups()
        if sum(len(group.conversations) for group in groups.values()) < 2:
            raise BadRecipe(
                "There is only one conversation, and conversations are never split. Bring more than one."
            )
        held_out = self.drawn(groups)
        strata = {
            name: {
                "rows": group.rows,
                "held_out": sum(rows for key, rows in group.conversations.items() if key in held_out),
                "conversations": len(group.conversations),
            }
            for name, group in groups.items()
        }
        shown = sorted(strata.items(), key=lambda item: -item[1]["rows"])
        self.told = {
            "strata": [{"name": name, **counts} for name, counts in shown[:STRATA_SHOWN]],
            "strata_count": len(strata),
            "moved": 0,
        }
        for row in self.material.rows():
            split = HELD_OUT if number_of(row["conversation"]) in held_out else TRAIN
            if row["split"] != split:
                self.told["moved"] += 1
                row = {**row, "split": split}
            yield row

    def groups(self) -> dict[str, Group]:
        """Stratum → its conversations; a conversation is where its first row is."""
        groups: dict[str, Group] = {}
        home: dict[int, Group] = {}
        for row in self.material.rows():
            key = number_of(row["conversation"])
            group = home.get(key)
            if group is None:
                name = self.stratum(row)
                name = name if name in groups or len(groups) < STRATA_MOST else OTHERS
                group = home[key] = groups.setdefault(name, Group({}))
            group.conversations[key] = group.conversations.get(key, 0) + 1
        return groups

    def stratum(self, row: Row) -> str:
        if not self.settings.by:
            return ""
        if self.settings.by == "tag":
            tags = self.material.judgements.get(row_key(row), Judgement()).tags
            return ", ".join(sorted(tags)) or "–"
        return STRATA[self.settings.by](row)

    def drawn(self, groups: dict[str, Group]) -> set[int]:
        """The conversations to keep aside: in each group as many rows as come closest to the share.

        What a group owes or has too much is handed on to the next, so that many small groups add up.
        """
        held_out: set[int] = set()
        owed = 0.0
        for _, group in sorted(groups.items()):
            whole = group.rows
            goal = owed + self.settings.share * whole
            taken = 0
            for key in sorted(group.conversations, key=self.place):
                rows = group.conversations[key]
                # One conversation of each group, at least, is learned from.
                if taken + rows / 2 <= goal and taken + rows < whole:
                    held_out.add(key)
                    taken += rows
            owed = goal - taken
        if not held_out:
            largest = max(groups.values(), key=lambda group: len(group.conversations))
            held_out.add(min(largest.conversations, key=self.place))
        return held_out

    def place(self, key: int) -> bytes:
        return hashlib.blake2b(f"{self.settings.seed}:{key}".encode(), digest_size=8).digest()


def length_bucket(row: Row) -> str:
    """Characters, in powers of four: `256–1,023 characters`."""
    most = 256
    characters = characters_of(row)
    if characters < most:
        return f"0–{most - 1} characters"
    while characters >= 4 * most:
        most *= 4
    return f"{most:,}–{4 * most - 1:,} characters"


def system_of(row: Row) -> str:
    """The beginning of the system prompt."""
    first = next(messages_of(row), None)
    return (first["content"] or "")[:80] if first and first["role"] == "system" else "–"


STRATA = {
    "language": lambda row: language_of(answer_in(row)),
    "length": length_bucket,
    "turns": lambda row: f"{min(turns_of(row), 20)} messages",
    "system": system_of,
    "tools": lambda row: "tools" if has_tools(row) else "–",
}
