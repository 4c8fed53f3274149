"""Page-shaped reads."""

from django.db.models import Count, F, IntegerField, OuterRef, QuerySet, Subquery, Sum
from django.utils.translation import gettext_lazy as _

from apex.common import files
from datasets_app import importing
from datasets_app.models import Dataset, DatasetVersion
from datasets_app.reference_rows import first_rows, rows_shown
from datasets_app.selectors.rows import shown_row
from datasets_app.sources import SourceError

SORTS = {
    "-added": ["-created_at"],
    "added": ["created_at"],
    "name": ["name"],
    "-name": ["-name"],
    "-rows": [F("row_count").desc(nulls_last=True), "-created_at"],
    "rows": ["row_count", "-created_at"],
}

FORMAT_WORDS = {
    "messages": _("chat"),
    "turns": _("transcripts"),
    "sharegpt": _("conversations"),
    "chatml": _("marked-up chat"),
    "alpaca": _("instructions"),
    "hafs": _("generated samples"),
    "prompt-completion": _("questions with answers"),
    "dialogue": _("typed dialogue"),
    "text": _("plain text"),
    "brightrun-lora-v4": _("coaching conversations"),
    "preference": _("compared answers"),
    "preference-implicit": _("compared conversations"),
    "openai-preference": _("compared answers"),
    "unpaired-preference": _("answers marked good or bad"),
    "ranking": _("ranked answers"),
    "csv": _("two columns"),  # of versions from before tables were read by the names of their columns
}


def datasets_for_list(user, query: str = "", sort: str = "-added") -> QuerySet[Dataset]:
    """The user's datasets, each with `row_count`, `format` and `latest_id` of its newest version."""
    newest = DatasetVersion.objects.present().filter(dataset=OuterRef("pk")).order_by("-number")
    datasets = Dataset.objects.for_user(user).annotate(
        latest_id=Subquery(newest.values("pk")[:1]),
        row_count=Subquery(newest.values("row_count")[:1], output_field=IntegerField()),
        format=Subquery(newest.values("format")[:1]),
    )
    if query:
        datasets = datasets.filter(name__icontains=query)
    return datasets.order_by(*SORTS.get(sort, SORTS["-added"]))


def attach_latest(datasets: list[Dataset]) -> list[Dataset]:
    """Gives each dataset of a list page its newest version as `version`, in one query, without the faults."""
    rows = DatasetVersion.objects.defer("faults").select_related("reference")
    versions = rows.in_bulk([dataset.latest_id for dataset in datasets])
    for dataset in datasets:
        dataset.version = versions.get(dataset.latest_id)
    return datasets


def totals(user) -> dict[str, int]:
    """How many sets the user has, and how many examples in their newest versions."""
    found = datasets_for_list(user).order_by().aggregate(sets=Count("pk"), examples=Sum("row_count"))
    return {"sets": found["sets"], "examples": found["examples"] or 0}


def versions_of(dataset: Dataset) -> QuerySet[DatasetVersion]:
    """All versions that were not erased, newest first, without their faults."""
    return dataset.versions.present().defer("faults").order_by("-number")


def rows_of(version: DatasetVersion, start: int, count: int) -> list[dict]:
    """At most `count` chat rows of a version, from number `start` (0 is the first).

    Of a reference only those that may be shown (`rows_shown`), and SourceError when its store does not give them.
    """
    if version.reference_id:
        return first_rows(version, start, count)
    path = files.local_path(version.rows_sha256)
    return list(importing.iterate_rows(path, start, start + count))


def preview(version: DatasetVersion, index: int) -> dict:
    """The context of templates/datasets_app/_preview.html for row `index` (0 is the first; clamped).

    `row` is the stored row and `rows` a list of it alone; what is shown of it is that of `shown_row`;
    `away` says why a reference cannot be shown; `number` counts from 1, `next_index` and `previous_index` are None
    at the ends.
    """
    total = rows_shown(version)
    index = max(0, min(index, total - 1))
    away = ""
    try:
        rows = rows_of(version, index, 1)
    except SourceError as problem:
        rows, away = [], str(problem)
    row = rows[0] if rows else {"split": "train", "line": None}
    return {
        "version": version,
        "away": away,
        "row": row,
        "rows": rows,
        **shown_row(row, version.kind),
        "index": index,
        "number": index + 1,
        "total": total,
        "next_index": index + 1 if index + 1 < total else None,
        "previous_index": index - 1 if index > 0 else None,
    }
