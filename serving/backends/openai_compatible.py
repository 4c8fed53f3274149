"""Any server with OpenAI's surface and a key: an inference endpoint at a hub, SGLang, a vLLM of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apex.common.connections import Guard
from serving.backends.base import NotSupported, Target, Wire
from serving.backends.openai_server import OpenAIServer
from serving.protocol import Ability, ChatRequest

ADVICE = (
    "It serves what its owner put there; choose a vLLM server, or the one that comes along, for adapters."
)
# Ours to say or to leave out: some of these servers refuse what they do not know.
NEUTRAL: dict[str, Any] = {"top_p": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0.0}


class OpenAICompatibleBackend(OpenAIServer):
    """`url` is what OpenAI's client would get as its `base_url`; without a path `/v1` is meant.

    Answers for whatever names it has: an adapter on it has to be there already.
    """

    def __init__(self, url: str, *, api_key: str = "", guard: Guard | None = None):
        super().__init__(url, api_key=api_key, guard=guard)
        self._has_own_path = self._parts.path != "" and self.url == url.rstrip("/")

    # It says itself what it cannot do: behind one address of this kind there may be anything.
    abilities = frozenset(Ability)

    def wire(self) -> Wire | None:
        # A path of its own stands in the place of /v1.
        return None if self._has_own_path else super().wire()

    def address(self, path: str) -> str:
        return self.url + (path.removeprefix("/v1") if self._has_own_path else path)

    async def load_adapter(self, name: str, path: Path) -> None:
        raise NotSupported("Loading an adapter", ADVICE)

    async def unload_adapter(self, name: str) -> None:
        raise NotSupported("Unloading an adapter", ADVICE)

    def chat_body(self, target: Target, request: ChatRequest) -> dict[str, Any]:
        body = super().chat_body(target, request)
        return {name: value for name, value in body.items() if name not in NEUTRAL or NEUTRAL[name] != value}
