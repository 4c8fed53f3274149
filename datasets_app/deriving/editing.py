"""Some rows changed, moved to the other side of the split, or deleted."""

from collections.abc import Iterator
from typing import Any, Literal

from msgspec import Struct

from datasets_app.curation.edits import BadEdit, check_edit
from datasets_app.curation.row_keys import CONTENT, kind_of_content

from .material import BadRecipe, Material, Row
from .rows import number_of

CHANGES_MOST = 2000


class Change(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What becomes of row number `row` (from 0): deleted, or with other `content`, or on the other side."""

    row: int
    delete: bool = False
    content: dict[str, Any] | None = None
    split: Literal["", "train", "held_out"] = ""


class EditSettings(Struct, forbid_unknown_fields=True, omit_defaults=True):
    changes: list[Change]


class Editing:
    """A row that moves to the other side takes its conversation along."""

    def __init__(self, material: Material, settings: EditSettings) -> None:
        if not settings.changes:
            raise BadRecipe("There is no change to save.", "changes")
        if len(settings.changes) > CHANGES_MOST:
            raise BadRecipe(
                f"{len(settings.changes):,} changes came; up to {CHANGES_MOST:,} make one version.", "changes"
            )
        self.material = material
        self.changes = {change.row: change for change in settings.changes}
        if len(self.changes) != len(settings.changes):
            raise BadRecipe("Two changes name the same row. Send one for each row.", "changes")
        self.told: dict[str, Any] = {}

    def __iter__(self) -> Iterator[Row]:
        moved = self.moved_conversations()
        told = self.told = {"edited": 0, "deleted": 0, "moved": 0}
        missing = set(self.changes)
        for number, row in enumerate(self.material.rows()):
            change = self.changes.get(number)
            missing.discard(number)
            if change and change.delete:
                told["deleted"] += 1
                continue
            if change and change.content is not None:
                row, is_other = changed(row, change)
                told["edited"] += is_other
            split = moved.get(number_of(row["conversation"]), row["split"])
            if split != row["split"]:
                told["moved"] += 1
                row = {**row, "split": split}
            yield row
        if missing:
            raise BadRecipe(f"There is no row {min(missing)}; rows are counted from 0.", "changes")

    def moved_conversations(self) -> dict[int, str]:
        if not any(change.split for change in self.changes.values()):
            return {}
        wanted: dict[int, str] = {}
        for number, row in enumerate(self.material.rows()):
            change = self.changes.get(number)
            if change and change.split and not change.delete and change.split != row["split"]:
                wanted[number_of(row["conversation"])] = change.split
        return wanted


def changed(row: Row, change: Change) -> tuple[Row, bool]:
    """The row with its new content, and whether that is another. Raises BadRecipe that names the row."""
    try:
        content = check_edit(change.content, row)
    except BadEdit as problem:
        raise BadRecipe(f"Row {change.row}: {problem}", "changes") from problem
    if content is None:
        return row, False
    kept = {name: value for name, value in row.items() if name not in CONTENT[kind_of_content(row)]}
    return {**content, **kept}, True
