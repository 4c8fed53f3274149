"""Refusals in OpenAI's words."""

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


def model_not_found(name: str) -> ApiError:
    """The one answer for a model that is missing and for one that belongs to someone else."""
    return ApiError(
        f"The model `{name}` does not exist or you do not have access to it.",
        status=404, param="model", code="model_not_found",
    )  # fmt: skip
