"""What a server refuses, in words that whoever asked through us understands."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from gateway.hot.requests import Kind
from serving.backends.base import Target
from serving.protocol import ApiError, unsupported_endpoint

# Servers that have not got an address, or no such model for it, say so in many ways: FastAPI's bare 404, Ollama's 500.
NO_SUCH_ADDRESS = (404, 405, 501)
CANNOT = re.compile(r"does not support (embedding|completion|generat)", re.IGNORECASE)


def retold(error: ApiError, kind: Kind, *, target: Target, asked: str) -> ApiError:
    """The same with the model's name that was asked for, and without where in the house the server stands; what
    cannot be done at this address becomes 400."""
    cannot = error.status in NO_SUCH_ADDRESS or CANNOT.search(error.message)
    if cannot and kind.activity != "chat" and error.code != "model_not_found":
        return unsupported_endpoint(kind.path, asked)
    message = error.message.replace(target.loaded_name, asked)
    for place in target.places:
        message = message.replace(urlsplit(place.address).netloc, "The server")
    return ApiError(message, status=error.status, kind=error.kind, param=error.param, code=error.code)
