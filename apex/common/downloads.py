"""Stored files as answers, a piece at a time."""

import asyncio
from collections.abc import AsyncIterator, Iterator

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse

from apex.common import files


def stored_file_response(sha256: str, name: str, content_type: str) -> StreamingHttpResponse:
    """A download of stored bytes. Under ASGI, Django would read a synchronous file into memory whole."""
    response = StreamingHttpResponse(pieces(sha256), content_type=content_type)
    response["Content-Length"] = files.storage().size(files.storage_name(sha256))
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


async def pieces(sha256: str) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(files.open_stored, sha256)
    try:
        while piece := await asyncio.to_thread(file.read, files.CHUNK):
            yield piece
    finally:
        file.close()


def made_file_response(made: Iterator[bytes], name: str, content_type: str) -> StreamingHttpResponse:
    """A download that is made while it is sent; `made` may read the database."""
    response = StreamingHttpResponse(one_by_one(made), content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


async def one_by_one(made: Iterator[bytes]) -> AsyncIterator[bytes]:
    # In the thread of the request, whose database connection is closed at its end.
    while (piece := await sync_to_async(next)(made, None)) is not None:
        yield piece
