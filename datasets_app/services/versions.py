"""Versions made by a recipe: shown beforehand, made at once, or by a worker where the rows are many.

A recipe is `{"make": one of deriving.recipes.WAYS, "settings": {…}}`.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from django.utils.translation import gettext as _

from datasets_app.deriving.material import BadRecipe
from datasets_app.deriving.recipes import make_rows, read_settings, way_of
from datasets_app.deriving.rows import number_of
from datasets_app.models import DatasetImport, DatasetVersion, ImportSource, ImportStatus
from datasets_app.splitting import HELD_OUT

from .bringing import NAME_LENGTH
from .curation import storable
from .deriving import CannotDerive, derive_version
from .imports import queue_import
from .materials import material_of, others_for
from .version_words import in_words

# Versions of more rows are made by a worker, and only so many rows are looked at beforehand.
ROWS_AT_ONCE = 20_000


class NotNewest(CannotDerive):
    """There is a newer version than the one that the changes began with; `newest` is its number."""

    def __init__(self, message: str, newest: int) -> None:
        super().__init__(message)
        self.newest = newest


@dataclass(frozen=True)
class Preview:
    """What a recipe would make. The counts are of the `looked_at` rows (of `of`) that were read."""

    words: str
    rows_before: int
    rows_after: int
    train_count: int
    held_out_count: int
    conversation_count: int
    looked_at: int
    of: int
    told: dict[str, Any]

    @property
    def is_part(self) -> bool:
        return self.looked_at < self.of


def preview_derivation(*, version: DatasetVersion, recipe: dict[str, Any]) -> Preview:
    """What the recipe would do, without doing it. Raises BadRecipe, CannotDerive."""
    settings = read_settings(recipe.get("make"), recipe.get("settings") or {})
    material = material_of(version, settings, limit=ROWS_AT_ONCE)
    making = make_rows(recipe["make"], settings, material)
    conversations: dict[int, list[int]] = {}  # rows to learn from, rows kept aside
    for row in making:
        conversations.setdefault(number_of(row["conversation"]), [0, 0])[row["split"] == HELD_OUT] += 1
    # As `write_rows` does: a conversation that comes on both sides is kept aside whole.
    learned = sum(rows for rows, kept_aside in conversations.values() if not kept_aside)
    sides = [learned, sum(map(sum, conversations.values())) - learned]
    looked_at, rows_after = min(version.row_count, ROWS_AT_ONCE), sum(sides)
    return Preview(
        words=in_words(recipe["make"], making.told, looked_at, rows_after, sides),
        rows_before=looked_at,
        rows_after=rows_after,
        train_count=sides[0],
        held_out_count=sides[1],
        conversation_count=len(conversations),
        looked_at=looked_at,
        of=version.row_count,
        told=making.told,
    )


def start_derivation(
    *, version: DatasetVersion, recipe: dict[str, Any], branch: bool = True
) -> DatasetVersion | DatasetImport:
    """Makes the version at once, or hands a large one to a worker and returns its import.

    Without `branch` it must begin with the newest version. Raises BadRecipe, CannotDerive, NotNewest.
    """
    if not branch:
        refuse_old(version)
    settings = read_settings(recipe.get("make"), recipe.get("settings") or {})
    material = material_of(version, settings)  # refuses what cannot be, before anything waits in a queue
    make_rows(recipe["make"], settings, material)
    rows = version.row_count + sum(other.row_count for other in others_for(version, settings))
    if rows <= ROWS_AT_ONCE:
        return derive(version=version, recipe=recipe)
    imported = DatasetImport.objects.create(
        owner=version.owner,
        source=ImportSource.DERIVED,
        status=ImportStatus.RECEIVING,
        dataset=version.dataset,
        name=version.dataset.name[:NAME_LENGTH],
        file_name=version.file_name,
        recipe={**recipe, "version": str(version.pk)},
    )
    queue_import(imported=imported)
    return imported


def refuse_old(version: DatasetVersion) -> None:
    """Raises NotNewest."""
    newest = version.dataset.latest
    if newest and newest.pk != version.pk:
        message = _(
            "These changes begin with version %(number)s, and version %(newest)s is there by now. Look at it first, or "
            "save them as a branch beside it."
        )
        raise NotNewest(message % {"number": version.number, "newest": newest.number}, newest.number)


def derive(
    *, version: DatasetVersion, recipe: dict[str, Any], seen: Callable[[], None] = lambda: None
) -> DatasetVersion:
    """Makes the version now. `seen` is called for each row that is read. Raises BadRecipe, CannotDerive."""
    make = recipe.get("make")
    settings = read_settings(make, recipe.get("settings") or {})
    making = make_rows(make, settings, material_of(version, settings, seen=seen))

    def made_from() -> dict[str, Any]:
        """How it was made; no row's text is in it."""
        kept = {} if make == "edit" else msgspec.to_builtins(settings)
        told = {name: value for name, value in making.told.items() if name != "examples"}
        return storable({"make": make, "settings": kept, "told": told})

    return derive_version(
        version=version,
        rows=making,
        made_by=way_of(make).made_by,
        made_from=made_from,
        parents=others_for(version, settings),
    )


def run_derivation(imported: DatasetImport, report_progress: Callable[[float], None]) -> DatasetVersion:
    """The version that an import with the source `derived` asks for. Raises CannotDerive."""
    recipe = {name: value for name, value in imported.recipe.items() if name in ("make", "settings")}
    version = find_version(imported)
    read = 0

    def seen() -> None:
        nonlocal read
        read += 1
        if read % 1000 == 0:
            report_progress(min(0.95, read / max(1, 2 * version.row_count)))

    try:
        return derive(version=version, recipe=recipe, seen=seen)
    except BadRecipe as problem:
        raise CannotDerive(str(problem)) from problem


def find_version(imported: DatasetImport) -> DatasetVersion:
    try:
        key = uuid.UUID(str(imported.recipe.get("version")))
    except ValueError as problem:
        raise CannotDerive(_("The version that this was to be made from is not named.")) from problem
    versions = DatasetVersion.objects.for_user(imported.owner).filter(erased_at=None)
    version = versions.select_related("dataset").filter(pk=key).first()
    if version is None:
        raise CannotDerive(_("The version that this was to be made from is gone."))
    return version
