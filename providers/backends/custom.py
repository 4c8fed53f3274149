"""Any server with OpenAI's surface, at an address that its user gives."""

from __future__ import annotations

from typing import ClassVar

from providers.backends.openai_protocol import OpenAIProtocol
from providers.backends.rerank import by_inference, by_ranking, by_rerank
from providers.base import Ability, Failure, ProviderFailed, Ranking


class Custom(OpenAIProtocol):
    name: ClassVar[str] = "custom"
    label: ClassVar[str] = "OpenAI-compatible server"
    needs_key: ClassVar[bool] = False
    takes_address: ClassVar[bool] = True
    abilities: ClassVar[frozenset[Ability]] = frozenset(Ability)

    async def rerank_once(self, model: str, question: str, texts: list[str]) -> Ranking:
        """By whichever call the server knows; the usual one is tried first, and its refusal is the one that is told."""
        try:
            return await by_rerank(self.server, self.base_url, model, question, texts)
        except ProviderFailed as problem:
            if problem.code != "model_not_found":
                raise
            usual = problem
        ways = (
            lambda: by_inference(self.server, self.base_url, question, texts),
            lambda: by_ranking(self.server, f"{self.base_url}/ranking", model, question, texts),
        )
        for way in ways:
            try:
                return await way()
            except ProviderFailed as problem:
                # It has this call, and trouble with it; a server that has not says that it knows no such thing.
                if problem.kind != Failure.BAD_REQUEST:
                    raise
        raise usual
