"""The ways to make one version of another: a name, its settings, what does it, and how that is called afterwards."""

from dataclasses import dataclass
from typing import Any

import msgspec

from .duplicates import DeduplicateSettings, Deduplicating
from .editing import Editing, EditSettings
from .filters import Cleaning, CleanSettings, Filtering, FilterSettings
from .masking import Masking, MaskSettings
from .material import BadRecipe, Making, Material
from .merging import MergeSettings, Merging, RestoreSettings, Restoring
from .splits import SplitSettings, Splitting


@dataclass(frozen=True)
class Way:
    settings: type[msgspec.Struct]
    making: type[Making]
    made_by: str  # of MadeBy


WAYS: dict[str, Way] = {
    "edit": Way(EditSettings, Editing, "edited"),
    "filter": Way(FilterSettings, Filtering, "filtered"),
    "split": Way(SplitSettings, Splitting, "split"),
    "merge": Way(MergeSettings, Merging, "merged"),
    "deduplicate": Way(DeduplicateSettings, Deduplicating, "deduplicated"),
    "clean": Way(CleanSettings, Cleaning, "cleaned"),
    "restore": Way(RestoreSettings, Restoring, "edited"),
    "mask": Way(MaskSettings, Masking, "masked"),
}


def way_of(make: Any) -> Way:
    """Raises BadRecipe."""
    if not isinstance(make, str) or make not in WAYS:
        raise BadRecipe(f"There is no way {make!r} to make a version; there are: {', '.join(WAYS)}.", "make")
    return WAYS[make]


def read_settings(make: Any, settings: Any) -> msgspec.Struct:
    """The settings of a recipe, each checked. Raises BadRecipe that names what does not fit."""
    try:
        # PostgreSQL keeps no NUL in JSON, and recipes are kept.
        if has_nul(settings):
            raise BadRecipe("These settings hold the character NUL, which cannot be kept. Take it out.")
        return msgspec.convert(settings, way_of(make).settings)
    except (msgspec.ValidationError, RecursionError) as problem:
        raise BadRecipe(in_plain_words(str(problem))) from problem


# msgspec's words, and ours.
WORDS = {
    "Object missing required field `": "a setting is missing: `",
    "Object contains unknown field `": "there is no setting of the name `",
    "Invalid enum value ": "this is none of its values: ",
    "Invalid UUID": "expected the id of a version",
    " | null`": "`",
    "`uuid`": "the id of a version",
    "`float`": "a number",
    "`int`": "a whole number",
    "`str`": "text",
    "`bool`": "true or false",
    "`array`": "a list",
    "`object`": "an object",
    "<=": "of at most",
    ">=": "of at least",
    "Expected": "expected",
}


def in_plain_words(problem: str) -> str:
    """What msgspec says of settings, as a sentence: ``Expected `float` <= 0.9 - at `$.share` ``."""
    said, _, place = problem.partition(" - at ")
    for theirs, ours in WORDS.items():
        said = said.replace(theirs, ours)
    where = place.strip("`").removeprefix("$").removeprefix(".")
    return f"The setting “{where}” does not fit: {said}." if where else f"These settings do not fit: {said}."


def has_nul(value: Any) -> bool:
    """Whether one of the texts in a JSON value holds the character NUL."""
    if isinstance(value, dict):
        return any(map(has_nul, value)) or any(map(has_nul, value.values()))
    if isinstance(value, list):
        return any(map(has_nul, value))
    return isinstance(value, str) and "\x00" in value


def make_rows(make: str, settings: msgspec.Struct, material: Material) -> Making:
    """Raises BadRecipe, at once or while the rows are read."""
    return way_of(make).making(material, settings)
