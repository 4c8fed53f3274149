"""Keeps what came of a request body when the connection is lost, for addresses that can use a part of it."""

import asyncio


class KeepWhatCame:
    """ASGI middleware: a PATCH below `prefix` that breaks off reaches its view with the bytes that had come.

    Django drops a request whose body is not whole before any view sees it. A resumable upload wants those bytes:
    tus says that the server "SHOULD always attempt to store as much of the received data as possible".
    """

    def __init__(self, app, prefix: str):
        self.app = app
        self.prefix = prefix

    async def __call__(self, scope, receive, send):
        is_ours = (
            scope["type"] == "http"
            and scope["method"] in ("PATCH", "POST")
            and scope["path"].startswith(self.prefix)
        )
        is_over = False

        async def patient():
            nonlocal is_over
            if is_over:
                # Told of the loss now, Django would cancel the view that is storing the bytes.
                await asyncio.Event().wait()
            message = await receive()
            if message["type"] == "http.disconnect":
                message = {"type": "http.request", "body": b"", "more_body": False}
            is_over = not message.get("more_body", False)
            return message

        await self.app(scope, patient if is_ours else receive, send)
