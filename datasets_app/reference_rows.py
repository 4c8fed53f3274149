"""The rows of a version that stays where it is: read there, one at a time, and never kept."""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from apex.common.secrets import Context, SecretError, open_secret
from datasets_app.models import Connection, DatasetVersion, Reference
from datasets_app.reading import read_examples
from datasets_app.sources import Credentials, Source, SourceChanged, SourceRefused, open_source
from datasets_app.streamed_split import SplitRule

PAGE_SECONDS = 20  # what a page waits for a store


def credentials_of(connection: Connection | None) -> Credentials | None:
    """What is needed to read through `connection`. Raises SourceRefused if it cannot be opened."""
    if connection is None:
        return None
    try:
        values = json.loads(open_secret(connection.sealed, Context.of(connection, "sealed")))
    except SecretError as problem:
        raise SourceRefused(
            _("The credentials of “%(name)s” cannot be opened any more; enter them again.")
            % {"name": connection.name}
        ) from problem
    Connection.objects.filter(pk=connection.pk).update(used_at=timezone.now())
    return Credentials(connection.kind, connection.endpoint_url, connection.region, values)


def source_of(uri: str, connection: Connection | None) -> Source:
    """Raises SourceRefused."""
    limit = settings.REFERENCE_LIMIT_BYTES or None
    return open_source(uri, credentials_of(connection), limit=limit)


def check_unchanged(version: DatasetVersion) -> None:
    """Asks the store whether the bytes are still those that were checked. Nothing to do for a version kept here.

    Raises SourceChanged with both marks and what to do, SourceError when the store cannot be asked.
    """
    if version.reference is None:
        return
    reference = version.reference
    state = source_of(reference.uri, reference.connection).state()
    if state.differs_from(reference.etag, reference.size):
        raise changed(version, told(reference.etag, reference.size), told(state.mark, state.size))


def told(mark: str, size: int | None) -> str:
    parts = [mark] if mark else []
    if size is not None:
        parts.append(_("%(size)s bytes") % {"size": f"{size:,}"})
    return ", ".join(parts) or _("nothing known")


def changed(version: DatasetVersion, was: str, found: str) -> SourceChanged:
    words = _(
        "“%(name)s” is no longer what was checked: it was %(was)s, now it is %(found)s. Check it again; that makes "
        "the next version of “%(dataset)s”, which can be trained on."
    )
    told = {"name": version.file_name, "was": was, "found": found, "dataset": version.dataset.name}
    return SourceChanged(words % told, was=was, found=found)


class ReferenceRows:
    """The rows of `version` as docs/architecture.md has them, each with its split; iterate once.

    Raises SourceError on the way. `verify`, at the end, makes sure that the bytes were those that were checked.
    """

    def __init__(self, version: DatasetVersion, *, seconds: float | None = None) -> None:
        self.version = version
        self.reference: Reference = version.reference
        self.source = source_of(self.reference.uri, self.reference.connection)
        self.source.seconds = seconds

    def __iter__(self) -> Iterator[dict[str, Any]]:
        made = self.version.made_from
        rule = SplitRule.from_dict(made["split"])
        reading = read_examples(
            self.source, self.version.file_name, format=made.get("format"), mapping=made.get("mapping")
        )
        for row in reading:
            row["split"] = rule.side(row["conversation"], row["split"])
            yield row
        raise_failure(self.source)

    def verify(self) -> None:
        """Raises SourceChanged if other bytes were read than were checked."""
        found = self.source.hash()
        if found != self.reference.sha256:
            raise changed(self.version, f"sha256 {self.reference.sha256[:12]}…", f"sha256 {found[:12]}…")


def raise_failure(source: Source) -> None:
    """Raises what the store did while a reader took it for a fault of the file."""
    if source.failure is not None:
        raise source.failure


def rows_shown(version: DatasetVersion) -> int:
    """How many rows can be shown: of a reference the first ones, as each page reads it from the start."""
    return (
        min(version.row_count, settings.REFERENCE_ROWS_SHOWN) if version.reference_id else version.row_count
    )


def first_rows(version: DatasetVersion, start: int, count: int) -> list[dict[str, Any]]:
    """Rows `start` to `start + count` for a page: of the first REFERENCE_ROWS_SHOWN only, and within PAGE_SECONDS.

    Raises SourceError.
    """
    stop = min(start + count, settings.REFERENCE_ROWS_SHOWN)
    if start >= stop:
        return []
    rows = ReferenceRows(version, seconds=PAGE_SECONDS)
    return list(islice(rows, start, stop))
