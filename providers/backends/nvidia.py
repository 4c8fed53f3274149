"""NVIDIA's API catalogue. https://docs.api.nvidia.com/nim/reference/llm-apis"""

from __future__ import annotations

import re
from typing import Any, ClassVar

from providers.backends.openai_protocol import OpenAIProtocol
from providers.backends.rerank import by_ranking
from providers.base import Ability, Call, ProviderFailed, Ranking

# The list of models is open to everybody, so a key is tried on a small model that most accounts have.
SMALL_MODEL = "meta/llama-3.1-8b-instruct"
# Models that rank have addresses of their own there.
RANKING = "https://ai.api.nvidia.com/v1/retrieval"
NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


class Nvidia(OpenAIProtocol):
    name: ClassVar[str] = "nvidia"
    label: ClassVar[str] = "NVIDIA"
    takes_address: ClassVar[bool] = True
    default_address: ClassVar[str] = "https://integrate.api.nvidia.com/v1"
    key_page: ClassVar[str] = "https://build.nvidia.com/settings/api-keys"
    abilities: ClassVar[frozenset[Ability]] = frozenset(Ability)

    def embedding_options(self, is_question: bool) -> dict[str, Any]:
        """Its models tell what looks from what is found; a text that is too long is refused, not cut."""
        return {"input_type": "query" if is_question else "passage", "truncate": "NONE"}

    async def rerank_once(self, model: str, question: str, texts: list[str]) -> Ranking:
        return await by_ranking(self.server, self.ranking_url(model), model, question, texts)

    def ranking_url(self, model: str) -> str:
        if self.base_url != self.default_address:  # a NIM of one's own
            return f"{self.base_url}/ranking"
        if not NAME.fullmatch(model) or ".." in model:  # it becomes part of the address
            raise self.refuse(f"“{model[:100]}” is no name of a model there; it is owner/name.", "model")
        return f"{RANKING}/{model.replace('.', '_')}/reranking"

    async def check(self) -> str:
        found = await self.models()
        try:
            await self.chat(Call(SMALL_MODEL, [{"role": "user", "content": "Hi"}], max_tokens=1))
        except ProviderFailed as problem:
            # Which models an account has differs; a key that is wrong is refused before that is looked at.
            if problem.code != "model_not_found":
                raise
        return f"{self.label} accepts the key; it offers {len(found)} models."
