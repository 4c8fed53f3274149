"""This house's own models as one more provider, so that what stands above asks them as it asks everybody else's."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any, ClassVar

from asgiref.sync import sync_to_async
from django.conf import settings
from django.utils.module_loading import import_string

from providers.backends.openai_protocol import OpenAIProtocol
from providers.base import Ability, Access, Failure, ModelInfo, Patience, ProviderFailed
from providers.failures import Said, failure_of
from providers.http import LONGEST_ANSWER, Server
from serving import playground, services
from serving.backends.base import BackendUnavailable, Reply
from serving.backends.embedded import HURRY_SECONDS
from serving.protocol import ApiError

INSIDE = "inside://"


class House(OpenAIProtocol):
    """Base models, adapters and assistants of the user that `access` is for, also by the names that they or the house
    gave to base models (`settings.MODEL_MEANINGS`); no key, no address, nothing over the net
    but to the house's own servers."""

    name: ClassVar[str] = "apex"
    label: ClassVar[str] = "Models of this house"
    abilities: ClassVar[frozenset[Ability]] = frozenset(Ability) - {Ability.RERANK}
    needs_key: ClassVar[bool] = False
    default_address: ClassVar[str] = f"{INSIDE}/v1"

    def __init__(self, access: Access, patience: Patience | None = None) -> None:
        super().__init__(access, patience)
        self.user = access.user
        self.server = HouseServer(self.label, access, self.patience, {}, self.name)

    async def models_once(self) -> list[ModelInfo]:
        return await sync_to_async(self._choices)()

    def _choices(self) -> list[ModelInfo]:
        own = [choice for _title, found in playground.own_choices(self.user) for choice in found]
        return [ModelInfo(each.name, each.label) for each in [*own, *playground.base_choices(self.user)]]

    async def check(self) -> str:
        found = await self.models()
        return f"{len(found)} models of this house can be asked."


class HouseServer(Server):
    """Asks whatever answers for a model, in place of one server over the net."""

    async def json(
        self, method: str, url: str, body: dict[str, Any] | None = None, more: dict[str, str] | None = None
    ) -> Any:
        try:
            content = await (await self._asked(url, body or {})).read()
            return json.loads(content)
        except ApiError as problem:
            raise self.of_house(problem) from problem
        except (ValueError, RecursionError) as problem:
            raise self.odd(content[:200]) from problem

    async def _blocks(
        self, url: str, body: dict[str, Any], more: dict[str, str] | None
    ) -> AsyncGenerator[bytes, None]:
        reply, size = None, 0
        try:
            reply = await self._asked(url, body)
            async for block in reply.chunks:
                size += len(block)
                if size > LONGEST_ANSWER:
                    raise self.too_long()
                if block:
                    yield block
            yield b""
        except ApiError as problem:
            raise self.of_house(problem) from problem
        finally:
            if reply is not None:
                await reply.close()

    async def _asked(self, url: str, body: dict[str, Any]) -> Reply:
        user = self._access.user
        model_id = await sync_to_async(import_string(settings.MODEL_MEANINGS))(user, body["model"])
        target = await services.resolve_model(user=user, model_id=model_id)
        backend = services.backend_for(target, in_a_hurry=self.patience.connect <= HURRY_SECONDS)
        await backend.ensure_loaded(target)
        return await backend.forward(url.removeprefix(INSIDE), body | {"model": target.loaded_name})

    def of_house(self, problem: ApiError) -> ProviderFailed:
        if isinstance(problem, ProviderFailed):
            return problem
        if isinstance(problem, BackendUnavailable):  # it was waited for already
            return self.failed(problem.message, Failure.OVERLOAD, code=problem.code, may_retry=False)
        names = tuple(name for name in (problem.code, problem.kind) if name)
        failure = failure_of(problem.status, Said(problem.message, names))
        return self.failed(problem.message, failure, code=problem.code, param=problem.param)
