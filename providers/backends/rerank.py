"""The calls by which servers put texts in the order in which they answer a question. There is no one protocol.

| call | spoken by |
|---|---|
| `POST …/v1/rerank` | vLLM, Jina, llama.cpp, Cohere (docs.vllm.ai, jina.ai/reranker, docs.cohere.com) |
| `POST /rerank` | Text Embeddings Inference, so also Hugging Face's endpoints |
| `POST …/v1/ranking` | NVIDIA's NIM (docs.nvidia.com/nim/nemo-retriever) |
"""

from __future__ import annotations

import math
from typing import Any

from providers.backends.openai_protocol import ODD
from providers.base import Ranking
from providers.http import Server


async def by_rerank(server: Server, base_url: str, model: str, question: str, texts: list[str]) -> Ranking:
    body = await server.json(
        "POST", f"{base_url}/rerank", {"model": model, "query": question, "documents": texts}
    )
    try:
        rows = [(row["index"], row["relevance_score"]) for row in body["results"]]
        return checked(rows, len(texts), tokens_of(body))
    except ODD as error:
        raise server.odd(body) from error


async def by_inference(server: Server, base_url: str, question: str, texts: list[str]) -> Ranking:
    """Its server has one model, whatever is asked for; at most 32 texts in a call, if nobody allowed it more."""
    asked = {"query": question, "texts": texts, "truncate": True}
    body = await server.json("POST", f"{base_url.removesuffix('/v1')}/rerank", asked)
    try:
        return checked([(row["index"], row["score"]) for row in body], len(texts), None)
    except ODD as error:
        raise server.odd(body) from error


async def by_ranking(server: Server, url: str, model: str, question: str, texts: list[str]) -> Ranking:
    asked = {
        "model": model, "query": {"text": question}, "passages": [{"text": text} for text in texts],
        "truncate": "END",
    }  # fmt: skip
    body = await server.json("POST", url, asked)
    try:
        rows = [(row["index"], row["logit"]) for row in body["rankings"]]
        return checked(rows, len(texts), tokens_of(body))
    except ODD as error:
        raise server.odd(body) from error


def checked(rows: list[tuple[Any, Any]], count: int, tokens: int | None) -> Ranking:
    """Each text once, best first. Raises ValueError for anything else."""
    ranked = [(int(place), float(score)) for place, score in rows]
    if sorted(place for place, _score in ranked) != list(range(count)):
        raise ValueError(f"{count} texts were asked about")
    if not all(math.isfinite(score) for _place, score in ranked):
        raise ValueError("a score is no number")
    return Ranking(sorted(ranked, key=lambda each: -each[1]), tokens)


def tokens_of(body: dict[str, Any]) -> int | None:
    usage = body.get("usage") or (body.get("meta") or {}).get("tokens") or {}
    for name in ("prompt_tokens", "total_tokens", "input_tokens"):
        if isinstance(usage.get(name), int | float) and usage[name] > 0:
            return int(usage[name])
    return None
