"""Refusals in OpenAI's words, for everything that answers programs. No Django in here."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """A refusal in OpenAI's words: HTTP `status` and the four keys of its error object."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
    ):
        super().__init__(message)
        self.message, self.status, self.kind, self.param, self.code = message, status, kind, param, code

    def body(self) -> dict[str, Any]:
        """The envelope: `{"error": {"message", "type", "param", "code"}}`."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}
