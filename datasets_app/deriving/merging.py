"""Several versions become one."""

import hashlib
from collections.abc import Iterator
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta, Struct

from datasets_app.curation.row_keys import row_key

from .material import BadRecipe, Material, Row
from .rows import number_of

# A shorter key (7, conv-12) counts within one file; a longer one (a UUID, a hash) names the same everywhere.
SHORT_KEY = 16


class MergeSettings(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """`with_versions` follow the rows of the version itself; a row that is there already is dropped where wished."""

    with_versions: Annotated[list[UUID], Meta(max_length=50)]
    drop_duplicates: bool = True


class Merging:
    """Memory: some 100 bytes a row while duplicates are dropped."""

    def __init__(self, material: Material, settings: MergeSettings) -> None:
        if not material.others:
            raise BadRecipe("Choose at least one other version to merge with.", "with_versions")
        self.material, self.settings = material, settings
        self.told: dict[str, Any] = {"duplicates": 0, "added": {}}

    def __iter__(self) -> Iterator[Row]:
        seen: set[bytes] = set()
        added: dict[str, int] = {}
        self.told = {"duplicates": 0, "added": added}
        taken: dict[int, str] = {}  # short keys of conversations → the dataset that has them
        sources = [("", self.material.key, self.material.rows)]
        sources += [(other.name, other.key, other.rows) for other in self.material.others]
        for name, dataset, rows in sources:
            for row in rows():
                if self.settings.drop_duplicates and self.is_known(row, seen):
                    self.told["duplicates"] += 1
                    continue
                if name:
                    added[name] = added.get(name, 0) + 1
                yield unlike_others(row, dataset, taken)

    @staticmethod
    def is_known(row: Row, seen: set[bytes]) -> bool:
        key = bytes.fromhex(row_key(row))[:16]
        if key in seen:
            return True
        seen.add(key)
        return False


def unlike_others(row: Row, dataset: str, taken: dict[int, str]) -> Row:
    """The row, its conversation renamed where another dataset uses the same short key for another conversation."""
    key = row["conversation"]
    if len(key) >= SHORT_KEY:
        return row
    if taken.setdefault(number_of(key), dataset) == dataset:
        return row
    mark = hashlib.blake2b(dataset.encode(), digest_size=4).hexdigest()
    return {**row, "conversation": f"{key} ({mark})"}


class RestoreSettings(Struct, forbid_unknown_fields=True):
    """The rows of `version`, an earlier one of the same dataset, once more."""

    version: UUID


class Restoring:
    def __init__(self, material: Material, settings: RestoreSettings) -> None:
        if not material.others:
            raise BadRecipe("Name the version whose rows are to come back.", "version")
        self.other = material.others[0]
        self.told: dict[str, Any] = {}

    def __iter__(self) -> Iterator[Row]:
        self.told = {"restored": self.other.name}
        yield from self.other.rows()
