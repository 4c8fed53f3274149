"""What the pages of exports show of rows."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.utils.functional import Promise

from serving.exports.models import Export, ExportKind, ExportStatus
from serving.exports.words import KINDS, SHAPES, TYPE_WORDS, has_converters, says
from training.models import Adapter

SHOWN = 100


@dataclass
class Told:
    """An export with what a page says of it."""

    export: Export
    title: Promise
    shape: str
    says: str


def told(export: Export) -> Told:
    return Told(export, KINDS[export.kind].title, SHAPES[ExportStatus(export.status)], says(export))


def exports_for(user):
    return Export.objects.for_user(user).with_adapter()


def exports_told(user, adapter: Adapter | None = None) -> list[Told]:
    """Newest first."""
    rows = exports_for(user)
    if adapter is not None:
        rows = rows.filter(adapter=adapter)
    return [told(each) for each in rows[:SHOWN]]


def choices() -> list[dict]:
    """What can be made of an adapter, in the order in which most people want it."""
    here = has_converters()
    return [
        {
            "kind": str(kind),
            "title": words.title,
            "about": words.about,
            "types": [(name, TYPE_WORDS[name]) for name in words.types],
            "can": here or not words.needs_converters,
            "is_hub": kind == ExportKind.HUB,
        }
        for kind, words in KINDS.items()
    ]


def keep_days() -> str:
    return f"{settings.EXPORT_KEEP_DAYS:g}"
