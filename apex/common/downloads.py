"""Stored files as answers, a piece at a time."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator

from asgiref.sync import sync_to_async
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from apex.common import files


def stored_file_response(sha256: str, name: str, content_type: str) -> StreamingHttpResponse:
    """A download of stored bytes. Under ASGI, Django would read a synchronous file into memory whole."""
    response = StreamingHttpResponse(pieces(sha256), content_type=content_type)
    response["Content-Length"] = files.storage().size(files.storage_name(sha256))
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


async def pieces(sha256: str, begin: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(files.open_stored, sha256)
    left = length
    try:
        await asyncio.to_thread(file.seek, begin)
        while piece := await asyncio.to_thread(
            file.read, files.CHUNK if left is None else min(files.CHUNK, left)
        ):
            left = None if left is None else left - len(piece)
            yield piece
    finally:
        file.close()


ONE_RANGE = re.compile(r"bytes=(\d{1,18})?-(\d{1,18})?")


def resumable_response(request, sha256: str, name: str, content_type: str) -> HttpResponseBase:
    """As `stored_file_response`, and a download that broke off can go on: one range of bytes (RFC 9110, 14).

    Its ETag is the hash, so what goes on is surely the same file.
    """
    size, tag = files.storage().size(files.storage_name(sha256)), f'"{sha256}"'
    wanted = ONE_RANGE.fullmatch(request.headers.get("Range", "").strip())
    if request.headers.get("If-Range", tag) != tag or (wanted and wanted[1] is None and wanted[2] is None):
        wanted = None  # another file, or no range: all of it
    if wanted is None:
        response: HttpResponseBase = stored_file_response(sha256, name, content_type)
    else:
        first, last = wanted[1], wanted[2]
        begin = int(first) if first is not None else max(0, size - int(last or 0))
        end = min(int(last), size - 1) if first is not None and last is not None else size - 1
        if begin > end:
            response = HttpResponse(status=416)
            response["Content-Range"] = f"bytes */{size}"
        else:
            length = end - begin + 1
            response = StreamingHttpResponse(
                pieces(sha256, begin, length), status=206, content_type=content_type
            )
            response["Content-Range"] = f"bytes {begin}-{end}/{size}"
            response["Content-Length"] = length
            response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Accept-Ranges"] = "bytes"
    response["ETag"] = tag
    return response


def made_file_response(made: Iterator[bytes], name: str, content_type: str) -> StreamingHttpResponse:
    """A download that is made while it is sent; `made` may read the database."""
    response = StreamingHttpResponse(one_by_one(made), content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


async def one_by_one(made: Iterator[bytes]) -> AsyncIterator[bytes]:
    # In the thread of the request, whose database connection is closed at its end.
    while (piece := await sync_to_async(next)(made, None)) is not None:
        yield piece
