"""An Ollama server: models are made from a Modelfile, pulled, listed; chat goes by its OpenAI surface.

Its own API as of Ollama 0.5.5 and later (docs/api.md there): `create` takes the parts of a Modelfile, and files are
sent before as blobs, named by their sha256.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

from serving.backends.base import AnswerBroke, NotSupported, Target
from serving.backends.modelfile import Modelfile
from serving.backends.openai_server import OpenAIServer, read_error
from serving.protocol import Ability, ApiError

ADVICE = "Export the adapter as an Ollama bundle and create a model from its Modelfile."
PIECE = 1024 * 1024


class OllamaBackend(OpenAIServer):
    """`models` are those on that machine; Ollama loads one into memory when it is asked."""

    # docs/openai.md there: neither `tool_choice`, `logit_bias`, `n` nor prompts as token ids.
    abilities = frozenset(
        {
            Ability.CHAT, Ability.COMPLETIONS, Ability.EMBEDDINGS, Ability.TOOLS, Ability.RESPONSE_FORMAT,
            Ability.SUFFIX,
        }
    )  # fmt: skip

    async def models(self) -> list[str]:
        return [model["name"] for model in await self.tags()]

    async def tags(self) -> list[dict[str, Any]]:
        """`/api/tags` as it stands there: name, size in bytes, digest, details."""
        body = await self.ask("GET", "/api/tags")
        try:
            return [model for model in body["models"] or [] if isinstance(model["name"], str)]
        except (KeyError, TypeError) as error:
            raise self.odd("/api/tags", body) from error

    async def ensure_loaded(self, target: Target) -> None:
        """An empty chat brings a model into memory."""
        await self.ask("POST", "/api/chat", {"model": target.loaded_name, "messages": [], "stream": False})

    async def load_adapter(self, name: str, path: Path) -> None:
        raise NotSupported("Loading an adapter", ADVICE)

    async def unload_adapter(self, name: str) -> None:
        raise NotSupported("Unloading an adapter", ADVICE)

    # --- models --------------------------------------------------------------------------------------------

    async def create(self, name: str, modelfile: Modelfile) -> AsyncIterator[str]:
        """Makes the model `name`; yields what Ollama says of each step. Files that it has already are not sent."""
        body = modelfile.body() | {"model": name, "stream": True}
        for part in ("files", "adapters"):
            if paths := getattr(modelfile, part):
                body[part] = {file: await self._send(path) for file, path in paths.items()}
        async for status in self._steps("/api/create", body):
            yield status

    async def pull(self, name: str) -> AsyncIterator[str]:
        """Downloads a model from the library, on Ollama's machine; yields what it says of each step."""
        async for status in self._steps("/api/pull", {"model": name, "stream": True}):
            yield status

    async def delete(self, name: str) -> None:
        """No error where there is no such model."""
        response = await self.open("DELETE", "/api/delete", {"model": name})
        if response.status == 404:
            response.release()
            return
        (await self.good(response)).release()

    async def _send(self, path: Path) -> str:
        """The digest of a file that Ollama has after this."""
        digest = f"sha256:{_sha256(path)}"
        where = f"/api/blobs/{quote(digest)}"
        response = await self.open("HEAD", where)
        response.release()
        if response.status != 200:
            (await self.good(await self.open("POST", where, content=_pieces(path)))).release()
        return digest

    async def _steps(self, path: str, body: dict[str, Any]) -> AsyncIterator[str]:
        """One JSON object a line, the last one `success`; an error may come in the middle of a good answer."""
        response = await self.good(await self.open("POST", path, body))
        status = ""
        try:
            async for line in response.content:
                if not line.strip():
                    continue
                said = json.loads(line)
                if "error" in said:
                    raise ApiError(f"{self.host}: {said['error']}", code="ollama_refused")
                status = str(said.get("status", ""))
                yield status
        except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
            raise AnswerBroke(f"{self.host} went away before it was done.") from error
        except (ValueError, TypeError) as error:
            raise self.odd(path, "a line that is no JSON object") from error
        finally:
            response.close()
        if status != "success":
            raise AnswerBroke(f"{self.host} stopped before it was done; its last word was {status!r}.")

    def refusal(self, status: int, text: str) -> ApiError:
        """Ollama knows a model or it does not; it says so as `model 'x' not found`."""
        error = super().refusal(status, text)
        if status == 404 and "not found" in read_error(text).message:
            return ApiError(error.message, status=404, param="model", code="model_not_found")
        return error


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with open(path, "rb") as file:
        while piece := file.read(PIECE):
            yield piece
