"""Without duplicates: exact ones, or such as are nearly the same."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from datasets_app.checking.near_duplicates import find_near_duplicates
from datasets_app.curation.row_keys import row_key

from .filters import characters_of
from .material import Material, Row

GROUPS_SHOWN = 20
ROWS_SHOWN = 6  # of one group


class DeduplicateSettings(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """`near`: rows whose texts are alike by at least `threshold` (1: the same words) are one group, too.

    Of each group one row stays: the first, or the longest.
    """

    near: bool = False
    threshold: Annotated[float, Meta(ge=0.5, le=1)] = 0.85
    keep: Literal["first", "longest"] = "first"


class Deduplicating:
    """Reads the rows twice: once to find the groups, once to write. Memory: some 100 bytes a row."""

    def __init__(self, material: Material, settings: DeduplicateSettings) -> None:
        self.material, self.settings = material, settings
        self.told: dict[str, Any] = {}

    def __iter__(self) -> Iterator[Row]:
        groups = self.groups()
        chosen = self.chosen(groups)
        dropped = {number for group in groups for number in group} - set(chosen)
        self.told = {
            "dropped": len(dropped),
            "groups": len(groups),
            "examples": self.examples(groups, chosen),
        }
        for number, row in enumerate(self.material.rows()):
            if number not in dropped:
                yield row

    def groups(self) -> list[list[int]]:
        """Numbers of rows (from 0) that are the same or alike, each group in order."""
        if self.settings.near:
            return find_near_duplicates(self.material.rows(), self.settings.threshold)
        first: dict[bytes, int] = {}
        groups: dict[int, list[int]] = {}
        for number, row in enumerate(self.material.rows()):
            leader = first.setdefault(bytes.fromhex(row_key(row))[:16], number)
            if leader != number:
                groups.setdefault(leader, [leader]).append(number)
        return list(groups.values())

    def chosen(self, groups: list[list[int]]) -> list[int]:
        """The row of each group that stays."""
        if self.settings.keep == "first" or not self.settings.near:
            return [group[0] for group in groups]
        wanted = {number for group in groups for number in group}
        lengths = {
            number: characters_of(row) for number, row in enumerate(self.material.rows()) if number in wanted
        }
        return [max(group, key=lambda number: (lengths[number], -number)) for group in groups]

    def examples(self, groups: list[list[int]], chosen: list[int]) -> list[dict[str, Any]]:
        """The first groups: `{"kept", "rows"}`, numbers from 0."""
        shown = list(zip(groups, chosen, strict=True))[:GROUPS_SHOWN]
        return [{"kept": kept, "rows": group[:ROWS_SHOWN], "count": len(group)} for group, kept in shown]
