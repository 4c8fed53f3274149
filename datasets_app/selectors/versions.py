"""The versions of a dataset as a family: what was made of what, and how."""

from dataclasses import dataclass
from typing import Any

from django.contrib.humanize.templatetags.humanize import intcomma
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from datasets_app.models import Dataset, DatasetVersion

VERSIONS_SHOWN = 200
DEPTH_MOST = 6


@dataclass(frozen=True)
class Member:
    """A version in its place: `depth` counts branches, not generations. `words` say how it was made."""

    version: DatasetVersion
    depth: int
    words: str
    merged: list[DatasetVersion]
    is_newest: bool


def family(dataset: Dataset) -> list[Member]:
    """All versions, marks of erased ones included, each after the one that it was made of; at most VERSIONS_SHOWN."""
    versions = list(
        dataset.versions.defer("faults", "profile")
        .select_related("parent", "reference")
        .prefetch_related("merged_from__dataset")
        .order_by("-number")[:VERSIONS_SHOWN]
    )[::-1]
    known = {version.pk for version in versions}
    children: dict[Any, list[DatasetVersion]] = {}
    for version in versions:
        children.setdefault(version.parent_id if version.parent_id in known else None, []).append(version)
    newest = max((each.number for each in versions if each.erased_at is None), default=0)
    found: list[Member] = []
    # Without recursion: a set may have been edited hundreds of times.
    waiting = [(version, 0) for version in reversed(children.get(None, []))]
    while waiting:
        version, depth = waiting.pop()
        merged = list(version.merged_from.all())
        found.append(
            Member(version, min(depth, DEPTH_MOST), made_words(version), merged, version.number == newest)
        )
        # The newest child goes on straight below; the others are branches beside it.
        *branches, straight = children.get(version.pk, []) or [None]
        if straight is not None:
            waiting.append((straight, depth))
        waiting += [(branch, depth + 1) for branch in reversed(branches)]
    return found


def made_words(version: DatasetVersion) -> str:
    """How it was made, in some words."""
    made = version.made_from or {}
    told = made.get("told") or {}
    if version.erased_at:
        return _("erased")
    if made.get("make") not in MADE_WORDS:
        return version.get_made_by_display()
    return MADE_WORDS[made["make"]](told, made.get("settings") or {})


def _filtered(told: dict, settings: dict) -> str:
    count = told.get("dropped", 0)
    words = ngettext("filtered: %(count)s row left out", "filtered: %(count)s rows left out", count)
    return words % {"count": intcomma(count)}


def _split(told: dict, settings: dict) -> str:
    words = _("split again: %(share)s of 100 kept aside, seed %(seed)s")
    asked = {"share": f"{100 * settings.get('share', 0.12):g}", "seed": settings.get("seed", 0)}
    if settings.get("by"):
        return (words + _(", alike in each group by %(by)s")) % {**asked, "by": settings["by"]}
    return words % asked


def _merged(told: dict, settings: dict) -> str:
    count = sum((told.get("added") or {}).values())
    return ngettext("merged: %(count)s row came", "merged: %(count)s rows came", count) % {
        "count": intcomma(count)
    }


def _deduplicated(told: dict, settings: dict) -> str:
    count = told.get("dropped", 0)
    if settings.get("near"):
        words = ngettext("%(count)s near duplicate left out", "%(count)s near duplicates left out", count)
    else:
        words = ngettext("%(count)s duplicate left out", "%(count)s duplicates left out", count)
    return words % {"count": intcomma(count)}


def _cleaned(told: dict, settings: dict) -> str:
    count = told.get("dropped", 0)
    words = ngettext(
        "the good rows only: %(count)s left out", "the good rows only: %(count)s left out", count
    )
    return words % {"count": intcomma(count)}


def _masked(told: dict, settings: dict) -> str:
    count = told.get("masked", 0)
    words = ngettext("masked in %(count)s row", "masked in %(count)s rows", count)
    return words % {"count": intcomma(count)}


def _edited(told: dict, settings: dict) -> str:
    return _("edited: %(words)s") % {"words": edits_in_words(told)}


def edits_in_words(told: dict) -> str:
    """How many rows were changed, deleted and moved, without those that are none: `2 changed, 1 deleted`."""
    parts = [words % {"count": intcomma(told[name])} for name, words in EDIT_WORDS.items() if told.get(name)]
    return ", ".join(parts) or _("nothing changed")


def _restored(told: dict, settings: dict) -> str:
    return _("brought back: the rows of %(name)s") % {"name": told.get("restored", "")}


EDIT_WORDS = {
    "edited": gettext_lazy("%(count)s changed"),
    "deleted": gettext_lazy("%(count)s deleted"),
    "moved": gettext_lazy("%(count)s on the other side"),
}
MADE_WORDS = {
    "filter": _filtered,
    "split": _split,
    "merge": _merged,
    "deduplicate": _deduplicated,
    "clean": _cleaned,
    "mask": _masked,
    "edit": _edited,
    "restore": _restored,
}
