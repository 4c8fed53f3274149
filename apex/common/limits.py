"""Turns away a request body that is too large before it is read."""

import json

from django.utils.translation import gettext as _

MEGABYTE = 1024 * 1024


class BodyLimit:
    """ASGI middleware: 413 for a `Content-Length` above `limit` bytes; a longer body without one is cut off.

    Django writes a whole body to disk before a view can look at it, so this stands in front of it.
    """

    def __init__(self, app, limit: int):
        self.app = app
        self.limit = limit

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self.limit:
            return await self.refuse(scope, send, int(declared))
        read = 0

        async def counted():
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            return {"type": "http.disconnect"} if read > self.limit else message

        return await self.app(scope, counted, send)

    async def refuse(self, scope, send, size: int) -> None:
        message = _(
            "%(size)s MB came; at most %(limit)s MB can be sent. Split it, or bring fewer examples."
        ) % {
            "size": -(-size // MEGABYTE),
            "limit": self.limit // MEGABYTE,
        }
        is_openai = scope["path"].startswith("/v1/")
        error = {"message": message, "code": "too_large"}
        error |= (
            {"type": "invalid_request_error", "param": None}
            if is_openai
            else {"field": None, "details": None}
        )
        body = json.dumps({"error": error}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": body})
