"""Hugging Face's router to many providers. https://huggingface.co/docs/inference-providers

A model is asked as `owner/name`, with `:provider`, `:fastest` or `:cheapest` behind it by choice.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import quote

from providers.backends.openai_protocol import ODD, OpenAIProtocol
from providers.base import Access, ModelInfo, Patience, Price, Vectors

# A name that leads elsewhere would be asked there with the key of whoever lends it.
NAME = re.compile(r"[\w.-]+(/[\w.-]+)?(:[\w-]+)?", re.ASCII)
ACCOUNT = "https://huggingface.co/api/whoami-v2"


class HuggingFace(OpenAIProtocol):
    name: ClassVar[str] = "huggingface"
    label: ClassVar[str] = "Hugging Face"
    takes_address: ClassVar[bool] = True
    default_address: ClassVar[str] = "https://router.huggingface.co/v1"
    key_page: ClassVar[str] = "https://huggingface.co/settings/tokens"

    def __init__(self, access: Access, patience: Patience | None = None) -> None:
        super().__init__(access, patience)
        self.root = self.base_url.removesuffix("/v1")
        is_own = self.base_url == self.default_address
        self.account_url = ACCOUNT if is_own else f"{self.root}/api/whoami-v2"

    def model_of(self, row: dict[str, Any]) -> ModelInfo:
        """Of the providers that have a model live: the longest context, and the lowest price."""
        live = [found for found in row.get("providers") or [] if found.get("status") == "live"]
        prices = [price for found in live if (price := price_of(found))]
        return ModelInfo(
            str(row["id"]),
            context_tokens=max((found.get("context_length") or 0 for found in live), default=0) or None,
            has_tools=any(found.get("supports_tools") for found in live) if live else None,
            price=min(prices, key=lambda price: price.input + price.output, default=None),
        )

    async def embed_once(self, model: str, texts: list[str], is_question: bool) -> Vectors:
        """The router has no `/v1/embeddings`: a model's own pipeline gives one vector a text."""
        if not NAME.fullmatch(model) or ".." in model:  # it becomes part of the address
            raise self.refuse(f"“{model[:100]}” is no name of a model there; it is owner/name.", "model")
        url = f"{self.root}/hf-inference/models/{quote(model)}/pipeline/feature-extraction"
        body = await self.server.json("POST", url, {"inputs": texts})
        try:
            return Vectors([float(value) for value in vector] for vector in body)
        except ODD as error:
            raise self.server.odd(body) from error

    async def check(self) -> str:
        """The list of models is open to everybody, so the account is asked for its name."""
        body = await self.trying(lambda: self.server.json("GET", self.account_url))
        who = body.get("name") if isinstance(body, dict) else None
        return f"{self.label} accepts the key; it is that of {who or 'an account without a name'}."


def price_of(found: dict[str, Any]) -> Price | None:
    pricing = found.get("pricing") or {}
    try:
        return Price(
            Decimal(str(pricing["input"])),
            Decimal(str(pricing["output"])),
            source=f"huggingface.co, {found['provider']}",
        )
    except (KeyError, ArithmeticError):
        return None
