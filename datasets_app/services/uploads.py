"""Uploads that may stop and go on: bytes go to the end of a part file, and the row says how many of them are safe.

The row never promises more than the file holds: bytes are on the disk before the row counts them. What a process
that was killed had written beyond the row's count is cut off by the next one.
"""

import errno
import fcntl
import hashlib
import logging
import os
import shutil
from collections.abc import Callable
from contextlib import contextmanager

from django.conf import settings
from django.http import UnreadablePostError
from django.utils import timezone
from django.utils.translation import gettext as _

from datasets_app.models import Dataset, DatasetImport, ImportSource, ImportStatus
from datasets_app.parts import part_path

from .bringing import NAME_LENGTH
from .imports import make_room, next_expiry, queue_import
from .receiving import TooLarge, clean_file_name, too_large, upload_limit

logger = logging.getLogger(__name__)
CHUNK = 1024 * 1024
# The file is copied, its rows are written, both are kept: so much is free when an upload begins.
ROOM_TIMES = 4
CHECKSUMS: dict[str, Callable] = {"sha1": hashlib.sha1, "sha256": hashlib.sha256, "md5": hashlib.md5}


class UploadRefused(Exception):
    """The bytes could not be taken; `str()` is a sentence for the person."""


class WrongOffset(UploadRefused):
    """They do not begin where the last ones ended."""


class UploadBusy(UploadRefused):
    """Somebody else is writing to the same upload."""


class UploadGone(UploadRefused):
    """The upload takes no more bytes: it was cancelled, or its file is lost."""


class ChecksumMismatch(UploadRefused):
    """They are not what the sender meant to send."""


class DiskFull(UploadRefused):
    """There is no room for them."""


class TooManyUploads(UploadRefused):
    """The person has too many unfinished uploads."""


def begin_upload(
    *,
    owner,
    length: int,
    file_name: str,
    name: str = "",
    dataset: Dataset | None = None,
    mapping: dict | None = None,
    next_url: str = "",
) -> DatasetImport:
    """Room for a file of `length` bytes that becomes a new dataset, or the next version of `dataset`.

    Raises TooLarge, DiskFull, TooManyUploads, TooMuchWaiting.
    """
    if length > upload_limit(owner):
        raise too_large(upload_limit(owner))
    check_room(length)
    unfinished = DatasetImport.objects.for_user(owner).filter(status=ImportStatus.RECEIVING)
    if unfinished.count() >= settings.OPEN_UPLOADS:
        raise TooManyUploads(
            _("%(count)s uploads of yours are not finished. Go on with one of them, or cancel one.")
            % {"count": settings.OPEN_UPLOADS}
        )
    make_room(owner=owner, length=length)
    imported = DatasetImport.objects.create(
        owner=owner,
        source=ImportSource.UPLOAD,
        file_name=clean_file_name(file_name),
        name=name.strip()[:NAME_LENGTH],
        dataset=dataset,
        length=length,
        mapping=mapping or {},
        recipe={"next": next_url} if next_url else {},
        expires_at=next_expiry(),
    )
    part_path(imported.pk).touch(mode=0o600)
    if length == 0:
        queue_import(imported=imported)
    return imported


def check_room(length: int) -> None:
    """Raises DiskFull where the file and what is made of it would not fit."""
    free = shutil.disk_usage(settings.FILE_UPLOAD_TEMP_DIR).free
    if free < ROOM_TIMES * length:
        raise disk_full(free)


def disk_full(free: int) -> DiskFull:
    return DiskFull(
        _(
            "The disk of this Apex has %(free)s MB free, too little for this file. Whoever runs it can make room."
        )
        % {"free": free // (1024 * 1024)}
    )


def bytes_received(imported: DatasetImport) -> int:
    """How many bytes are safe: the row's count, or fewer where the file holds fewer."""
    if imported.status != ImportStatus.RECEIVING:
        return imported.offset
    try:
        return min(imported.offset, part_path(imported.pk).stat().st_size)
    except FileNotFoundError:
        return 0


def append_bytes(
    *, imported: DatasetImport, offset: int, body, checksum: tuple[str, bytes] | None = None
) -> int:
    """Appends what `body` (`read(size)`) still gives, and returns how many bytes are here then.

    `offset` is where the sender believes that they begin; `checksum` is (name, digest) of them. The last byte
    sends the file to be checked. Raises WrongOffset, UploadBusy, UploadGone, ChecksumMismatch, TooLarge, DiskFull.
    """
    with locked_part(imported) as part:
        imported.refresh_from_db(fields=["status", "offset", "length"])
        if imported.status != ImportStatus.RECEIVING:
            raise gone()
        counted, safe = imported.offset, bytes_received(imported)
        if offset != safe:
            raise WrongOffset(
                _("These bytes begin at %(came)s; the next one that is missing is %(here)s.")
                % {"came": offset, "here": safe}
            )
        part.seek(safe)
        part.truncate()
        with nothing_kept_of_what_fails(part, safe):
            written = write_body(part, body, room=imported.length - safe, checksum=checksum)
            os.fdatasync(part.fileno())
            here = safe + written
            # A second writer on another machine knows nothing of the lock: only one of them moves the count.
            rows = DatasetImport.objects.filter(pk=imported.pk, status=ImportStatus.RECEIVING, offset=counted)
            if not rows.update(offset=here, expires_at=next_expiry(), updated_at=timezone.now()):
                raise gone()
        imported.offset = here
        logger.info("upload %s took bytes %s to %s of %s", imported.pk, safe, here, imported.length)
    if here == imported.length:
        queue_import(imported=imported)
    return here


def gone() -> UploadGone:
    return UploadGone(_("This upload takes no more bytes: it is finished, was cancelled or has expired."))


@contextmanager
def locked_part(imported: DatasetImport):
    """The part file, for one writer at a time."""
    try:
        part = open(part_path(imported.pk), "r+b", buffering=0)  # noqa: SIM115 - closed below
    except FileNotFoundError as problem:
        raise gone() from problem
    with part:
        try:
            fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            raise UploadBusy(_("Bytes of this upload are being written; try again in a moment.")) from problem
        yield part


@contextmanager
def nothing_kept_of_what_fails(part, safe: int):
    try:
        yield
    except OSError as problem:
        part.truncate(safe)
        if problem.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_full(shutil.disk_usage(settings.FILE_UPLOAD_TEMP_DIR).free) from problem
        raise
    except (UploadRefused, TooLarge):
        part.truncate(safe)
        raise


def write_body(part, body, *, room: int, checksum: tuple[str, bytes] | None) -> int:
    """Copies `body` to `part`, a piece at a time; returns the number of bytes."""
    digest = CHECKSUMS[checksum[0]]() if checksum else None
    written = 0
    while piece := read_piece(body):
        written += len(piece)
        if written > room:
            raise TooLarge(_("More bytes came than were announced: nothing of this piece is kept."))
        left = memoryview(piece)
        while left:
            left = left[part.write(left) :]
        if digest:
            digest.update(piece)
    if digest and digest.digest() != checksum[1]:
        raise ChecksumMismatch(_("These bytes are not the ones that were sent: their checksum differs."))
    return written


def read_piece(body) -> bytes:
    try:
        return body.read(CHUNK)
    except UnreadablePostError as problem:
        logger.info("an upload broke off: %s", problem)
        return b""
