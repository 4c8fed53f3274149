"""A vLLM server that takes adapters while it runs (`--enable-lora`, `VLLM_ALLOW_RUNTIME_LORA_UPDATING`).

Endpoints, codes and texts are those of vLLM 0.32 and 0.33 (`vllm/entrypoints/openai/models/serving.py`,
`vllm/lora/peft_helper.py`). Whatever goes wrong while an adapter is loaded, its own fault or not, vLLM answers with
500; only the words tell which.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import aiohttp

from serving.backends.base import AdapterRefused, BackendUnavailable, NotSupported, Scored, Target
from serving.backends.openai_server import OpenAIServer, read_error
from serving.protocol import Ability, ApiError

LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"

# The server's own trouble, for which no adapter can do anything. Everything else that loading says is about the
# adapter: the handler wraps whatever reading and checking its files raised.
OUTAGES = re.compile(
    r"EngineCore|EngineDead|engine (is )?dead|out of memory|OutOfMemory|Cannot allocate|timed out|No space left"
    r"|NCCL|cancelled|connection",
    re.IGNORECASE,
)
# What the engine's processes put around what it was.
WRAPPING = re.compile(r"Worker failed with error '(.*)', please check the stack trace .*", re.DOTALL)
TOO_LONG = ("maximum context length", "cannot be greater than max_model_len")


class VllmBackend(OpenAIServer):
    """`models` are the served name of the base and the adapters that are registered."""

    # `best_of` and `suffix` it has no more, and leaves them aside without a word.
    abilities = frozenset(Ability) - {Ability.BEST_OF, Ability.SUFFIX, Ability.REASONING}

    async def is_healthy(self) -> bool:
        """`/health` says whether the engine lives; `/v1/models` would answer without one."""
        try:
            (await self.good(await self.open("GET", "/health"))).release()
        except ApiError:
            return False
        return True

    async def metrics(self) -> str:
        return await self.read(await self.good(await self.open("GET", "/metrics")))

    # --- adapters ------------------------------------------------------------------------------------------

    async def load_adapter(self, name: str, path: Path) -> None:
        """Registers the directory `path`, which the server must see under the same path and which must stay.

        A name that is registered with another directory is refused: its answers would be those of the other.
        """
        response = await self.open("POST", LOAD, {"lora_name": name, "lora_path": str(path)})
        status, text = response.status, await self.read(response)
        if status == 200:
            return
        said = read_error(text)
        if status == 400 and "has already been loaded" in said.message:
            await self._check_is_the_same(name, path)
            return
        raise self._load_refusal(status, said.message, name)

    async def unload_adapter(self, name: str) -> None:
        """The name is free afterwards. Its weights keep their slot in the server until others push them out."""
        response = await self.open("POST", UNLOAD, {"lora_name": name})
        status, text = response.status, await self.read(response)
        said = read_error(text)
        if status == 200 or (status == 404 and "cannot be found" in said.message):
            return
        if status in (404, 405):
            raise _no_updating()
        raise self.refusal(status, text)

    async def ensure_loaded(self, target: Target) -> None:
        if target.loaded_name in await self.models():
            return
        if target.adapter is None:
            raise ApiError(
                f"{self.host} does not serve {target.base_name!r}. It serves one base model, chosen at its start.",
                status=503, kind="server_error", code="base_model_not_served",
            )  # fmt: skip
        await self.load_adapter(target.adapter.name, target.adapter.path)

    async def open_for(self, target: Target, path: str, body: dict[str, Any]) -> aiohttp.ClientResponse:
        """Asks first and loads only what turns out to be missing, so that the usual question is one call."""
        try:
            return await super().open_for(target, path, body)
        except ApiError as error:
            if error.code != "model_not_found" or target.adapter is None:
                raise
        await self.load_adapter(target.adapter.name, target.adapter.path)
        return await super().open_for(target, path, body)

    # --- what the parity gate asks ----------------------------------------------------------------------------

    async def token_ids(
        self, model: str, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None
    ) -> list[int]:
        body: dict[str, Any] = {"model": model, "messages": messages, "add_generation_prompt": True}
        answer = await self.ask("POST", "/tokenize", body | ({"tools": tools} if tools else {}))
        try:
            return [int(token) for token in answer["tokens"]]
        except (KeyError, TypeError, ValueError) as error:
            raise self.odd("/tokenize", answer) from error

    async def logprobs(
        self, model: str, prompt_token_ids: list[int], answer_token_ids: list[int]
    ) -> list[Scored]:
        if not answer_token_ids:
            return []
        given = [*prompt_token_ids, *answer_token_ids]
        body = {"model": model, "prompt": given, "max_tokens": 1, "temperature": 0, "prompt_logprobs": 1}
        try:
            answer = await self.ask("POST", "/v1/completions", body)
        except ApiError as error:
            if "not JSON compliant" not in error.message:
                raise
            raise AdapterRefused(
                f"{model} computes values that are no numbers at {self.host}; its weights are damaged."
            ) from error
        try:
            # One entry a token, of the first None: nothing stands before it. Each holds the given token and the
            # likeliest, by id.
            entries = answer["choices"][0]["prompt_logprobs"]
            if len(entries) != len(given):
                raise ValueError(f"{len(entries)} entries for {len(given)} tokens")
            scored = entries[len(prompt_token_ids) :]
            return [_scored(token, entry) for token, entry in zip(answer_token_ids, scored, strict=True)]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise self.odd("/v1/completions", answer) from error

    # --- what went wrong -----------------------------------------------------------------------------------

    def refusal(self, status: int, text: str) -> ApiError:
        """vLLM's `code` is the status once more; here it becomes the one of OpenAI that programs look for."""
        error = super().refusal(status, text)
        if status == 404 and "does not exist" in error.message:
            return ApiError(error.message, status=404, param="model", code="model_not_found")
        if status == 400 and any(words in error.message for words in TOO_LONG):
            return ApiError(error.message, status=400, param="messages", code="context_length_exceeded")
        if status >= 500 and OUTAGES.search(error.message):
            return BackendUnavailable(error.message)
        return error

    def _load_refusal(self, status: int, message: str, name: str) -> ApiError:
        message = _unwrapped(message)
        if status in (404, 405):
            if "No adapter found" not in message:
                return _no_updating()
            return AdapterRefused(
                f"The adapter's directory is not there for {self.host}: {message}", status=404
            )
        if status >= 500 and (status != 500 or OUTAGES.search(message)):
            return BackendUnavailable(f"{self.host} cannot load adapters now: {message}")
        if status == 401:
            return self.refusal(status, message)
        return AdapterRefused(f"{self.host} refuses the adapter {name}: {message}")

    async def _check_is_the_same(self, name: str, path: Path) -> None:
        card = next((card for card in await self.cards() if card["id"] == name), None)
        if card is None:  # unloaded in between
            raise BackendUnavailable(f"{name} was loaded and unloaded at {self.host} at once; ask again.")
        if card.get("root") not in (None, str(path)):
            raise AdapterRefused(
                f"The name {name} is taken at {self.host} by the adapter in {card['root']}, not {path}. "
                f"Unload that one, or use another name.",
                status=409, code="adapter_name_taken",
            )  # fmt: skip


def _unwrapped(message: str) -> str:
    """What was wrong, without the processes through which the word of it came."""
    message = message.removeprefix("Call to add_lora method failed: ")
    found = WRAPPING.fullmatch(message)
    return (found[1] if found else message).strip()


def _scored(token: int, entry: dict[str, dict[str, Any]]) -> Scored:
    logprob = float(entry[str(token)]["logprob"])
    if math.isnan(logprob):
        raise ValueError("a log-probability that is no number")
    best = max(entry, key=lambda one: float(entry[one]["logprob"]))
    return Scored(token_id=token, logprob=logprob, best_token_id=int(best))


def _no_updating() -> ApiError:
    return NotSupported(
        "Loading adapters while it runs",
        "Start vLLM with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=1, as manage.py serve_vllm does.",
    )
