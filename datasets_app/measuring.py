"""Measures the rows of a version by a base model's own template: a sample at once, all of them by a worker.

What was measured is kept in the cache, under the hashes of the rows and of the base model. Nothing of it is needed
to be kept: it is measured again when it is gone.
"""

import random
import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from typing import Any

import msgspec
from django.core.cache import cache
from django.utils.translation import gettext as _

from apex.common import files
from apex.common.queueing import send
from base_models.models import BaseModel
from datasets_app.checking.duplicates import Duplicates
from datasets_app.checking.languages import Languages
from datasets_app.checking.profile import Profile
from datasets_app.models import DatasetVersion
from datasets_app.reference_rows import first_rows, rows_shown
from datasets_app.sources import SourceError
from datasets_app.token_counts import Measured, TokenCounts, measure_row
from rendering import Renderer

DAY = 24 * 60 * 60
KEPT = 30 * DAY
SAMPLE = 2000  # rows
SAMPLE_SECONDS = 1.0
LEAST_SAMPLE = 50  # rows, however long they take
WHOLE_SECONDS = 1800
# A worker that is silent for so long after it was sent for, or at work, is taken for gone, and another one is asked.
SILENT_SECONDS, BUSY_SECONDS = 60, 300
# A worker gives its hand back so often, that others get their turn; what it has counted is kept for the next one.
SLICE_SECONDS = 5


class RowsAway(OSError):
    """A reference whose store does not give its rows; `str()` says why."""


@dataclass(frozen=True)
class Sample:
    """Rows that were measured, drawn at random: (whether it is held out, what was measured); of `rows` in all."""

    measured: list[tuple[bool, Measured]]
    counts: TokenCounts
    rows: int

    @property
    def is_whole(self) -> bool:
        return len(self.measured) == self.rows


def profile_of(*, version: DatasetVersion, base_model: BaseModel) -> dict[str, Any]:
    """What is known of the whole version now; what is missing, a worker is asked for.

    `{"counts": TokenCounts, "is_whole": whether of all rows, "is_drawn": whether else at random, "rows": in all,
    "content": as in the report or None, "is_counting", "progress": {"done", "rows"} or None, "problem": why no
    worker counts, or ""}`. Raises RenderError, OSError.
    """
    kept = cache.get(whole_key(version, base_model))
    is_missing = False
    if kept is None:
        sample = sample_of(version, base_model)
        kept = {"counts": sample.counts.as_dict(), "is_whole": sample.is_whole}
        # Rows that stay elsewhere are not fetched as a whole to be looked at; their first ones have to do.
        is_missing = not sample.is_whole and not version.reference_id
    content = content_of(version)
    if content is None and version.row_count <= SAMPLE and not version.reference_id:
        content = count_content(version)
    found = kept | {
        "counts": TokenCounts.from_dict(kept["counts"]),
        "is_drawn": not version.reference_id,
        "rows": version.row_count,
        "content": content or ({} if version.reference_id else None),
        "is_counting": is_missing or (content is None and not version.reference_id),
        "progress": None,
        "problem": "",
    }
    if found["is_counting"]:
        found["problem"] = ask_worker(version, base_model)
        found["progress"] = progress_of(version, base_model)
    return found


def content_of(version: DatasetVersion) -> dict[str, Any] | None:
    """Messages, turns, languages, duplicates: of the report, or as they were counted since; None: not counted yet."""
    if "messages" in version.profile or "lengths" in version.profile:
        return version.profile
    return cache.get(content_key(version))


# --- A sample, at once -------------------------------------------------------------------------------------


def sample_of(version: DatasetVersion, base_model: BaseModel) -> Sample:
    """At most SAMPLE rows in at most about SAMPLE_SECONDS, seeded by the rows themselves. Kept for a day."""
    if kept := cache.get(sample_key(version, base_model)):
        measured = [(is_held_out, Measured(*each)) for is_held_out, each in kept["measured"]]
        return Sample(measured, TokenCounts.from_dict(kept["counts"]), version.row_count)
    renderer = Renderer.from_directory(base_model.path)
    rows = rows_shown(version)
    numbers = random.Random(version.rows_id).sample(range(rows), min(SAMPLE, rows))
    measured, counts = [], TokenCounts()
    until = time.monotonic() + SAMPLE_SECONDS
    for number, row in rows_at(version, numbers):
        if time.monotonic() > until and len(measured) >= LEAST_SAMPLE:
            break
        one = measure_row(renderer, row, version.kind)
        measured.append((row.get("split") == "held_out", one))
        counts.add(one, number + 1, row.get("line"))
    kept = {"measured": [(split, astuple(one)) for split, one in measured], "counts": counts.as_dict()}
    cache.set(sample_key(version, base_model), kept, DAY)
    return Sample(measured, counts, version.row_count)


def rows_at(version: DatasetVersion, numbers: list[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of these numbers (from 0), in the order asked for: the file is passed over once for their places."""
    wanted = set(numbers)
    if version.reference_id:
        try:
            found = first_rows(version, 0, max(wanted, default=-1) + 1)
        except SourceError as problem:
            raise RowsAway(str(problem)) from problem
        yield from ((number, found[number]) for number in numbers if number < len(found))
        return
    with open(files.local_path(version.rows_sha256), "rb") as file:
        offsets, at = {}, 0
        for number, line in enumerate(file):
            if number in wanted:
                offsets[number] = at
            at += len(line)
        for number in numbers:
            if number in offsets:
                file.seek(offsets[number])
                yield number, msgspec.json.decode(file.readline())


# --- All of them, by a worker ------------------------------------------------------------------------------


def ask_worker(version: DatasetVersion, base_model: BaseModel) -> str:
    """Sends for a worker unless one is at it. Returns why none can be sent for, or nothing."""
    asked = asked_key(version, base_model)
    if not cache.add(asked, 1, SILENT_SECONDS):
        return ""
    told = {"version_id": str(version.pk), "base_model_id": str(base_model.pk)}
    if send("datasets_app.tasks.measure_version", told, lost="who asked is told"):
        return ""
    cache.delete(asked)
    return _("the queue does not answer")


def progress_of(version: DatasetVersion, base_model: BaseModel) -> dict[str, int] | None:
    """How far the workers have come, or None before the first slice."""
    part = cache.get(part_key(version, base_model))
    return {"done": part["counts"]["rows"], "rows": version.row_count} if part else None


def measure_whole(*, version: DatasetVersion, base_model: BaseModel) -> None:
    """Measures rows for a slice of time and sends for the next one, until all are counted.

    One at a time: a second worker stops at once. Run twice it does no harm.
    """
    busy, whole = busy_key(version, base_model), whole_key(version, base_model)
    if not cache.add(busy, 1, BUSY_SECONDS):
        return
    try:
        if content_of(version) is None:
            count_content(version)
        kept = cache.get(whole) or measure_slice(version, base_model)
        if kept is not None:
            cache.set(whole, kept, KEPT)
    finally:
        cache.delete_many([busy, asked_key(version, base_model)])
    if kept is None:
        ask_worker(version, base_model)
    else:
        cache.delete(part_key(version, base_model))


def measure_slice(version: DatasetVersion, base_model: BaseModel) -> dict[str, Any] | None:
    """Goes on where the last slice ended. Returns the counts once all rows are in them; those of the sample when
    WHOLE_SECONDS were not enough; else None, with the part kept."""
    key = part_key(version, base_model)
    part = cache.get(key) or {"offset": 0, "seconds": 0.0, "counts": TokenCounts().as_dict()}
    if part["seconds"] > WHOLE_SECONDS:
        return {"counts": sample_of(version, base_model).counts.as_dict(), "is_whole": False}
    renderer, counts = Renderer.from_directory(base_model.path), TokenCounts.from_dict(part["counts"])
    begun = time.monotonic()
    with open(files.local_path(version.rows_sha256), "rb") as file:
        file.seek(part["offset"])
        while line := file.readline():
            row = msgspec.json.decode(line)
            counts.add(measure_row(renderer, row, version.kind), counts.rows + 1, row.get("line"))
            if (spent := time.monotonic() - begun) > SLICE_SECONDS:
                part = {"offset": file.tell(), "seconds": part["seconds"] + spent, "counts": counts.as_dict()}
                cache.set(key, part, DAY)
                return None
    return {"counts": counts.as_dict(), "is_whole": True}


def count_content(version: DatasetVersion) -> dict[str, Any]:
    """The report's checks over the stored rows, for a version that has no report."""
    checks = [Profile(), Duplicates(), Languages()]
    with open(files.local_path(version.rows_sha256), "rb") as file:
        for number, line in enumerate(file, start=1):
            row = msgspec.json.decode(line)
            row.setdefault("line", number)
            for check in checks:
                for _fault in check.see(row, version.kind):
                    pass
    content: dict[str, Any] = {}
    for check in checks:
        for _fault in check.finish():
            pass
        content |= check.summary()
    cache.set(content_key(version), content, KEPT)
    return content


# --- Places in the cache -----------------------------------------------------------------------------------


def whole_key(version: DatasetVersion, base_model: BaseModel) -> str:
    return f"token-counts:{version.rows_id}:{base_model.sha256}"


def sample_key(version: DatasetVersion, base_model: BaseModel) -> str:
    return f"token-sample-2:{version.rows_id}:{base_model.sha256}"


def part_key(version: DatasetVersion, base_model: BaseModel) -> str:
    return f"{whole_key(version, base_model)}:part"


def asked_key(version: DatasetVersion, base_model: BaseModel) -> str:
    return f"{whole_key(version, base_model)}:asked"


def busy_key(version: DatasetVersion, base_model: BaseModel) -> str:
    return f"{whole_key(version, base_model)}:busy"


def content_key(version: DatasetVersion) -> str:
    return f"content:{version.rows_id}"
