"""Whether a server keeps its models apart when they are asked at once. No Django in here.

vLLM on a processor answers for the base with whatever adapter sits in its last slot (seen in 0.32; silent, and only
while both are in one batch). So the base is asked before the first adapter is there, and once more among them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from serving.backends.base import AnswerBroke, Backend, Scored, Target
from serving.parity import FAR, bound_of
from serving.protocol import ApiError, ChatRequest

ROUNDS = 3
PROMPTS = 2
# Written meanwhile by each adapter, so that the passes that are compared share their steps with others.
TOKENS_BESIDE = 12
# What is written by itself is compared up to the first other token; rounding moves a single one by less than this.
WRITTEN_BOUND = 0.25
LIKELIEST = 5


async def score_base(backend: Backend, base_name: str, record: dict[str, Any]) -> dict[str, Any]:
    """How the base alone answers; to be asked while no adapter is there. Raises ApiError."""
    prompts = [prompt for prompt in record["prompts"] if prompt["answer_token_ids"]][:PROMPTS]
    scored = [
        await backend.logprobs(base_name, each["prompt_token_ids"], each["answer_token_ids"])
        for each in prompts
    ]
    return {
        "bound": bound_of(record),
        "prompts": [
            {
                "prompt_token_ids": prompt["prompt_token_ids"],
                "answer_token_ids": prompt["answer_token_ids"],
                "logprobs": [round(score.logprob, 6) for score in scores],
            }
            for prompt, scores in zip(prompts, scored, strict=True)
        ],
    }


async def probe(
    backend: Backend, *, base: Target, base_scores: dict[str, Any], adapters: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Asks the base and all `adapters` (name → its parity.json) at once, `ROUNDS` times, and compares each.

    `is_right`, how many were asked, the largest mean difference of the base and of an adapter, and who it was.
    Raises ApiError.
    """
    worst: dict[str, float] = {}
    wrong: set[str] = set()
    asked = 0
    for _ in range(ROUNDS):
        beside = [asyncio.ensure_future(_write(backend, base, name)) for name in adapters]
        questions = [(base.base_name, base_scores, prompt) for prompt in base_scores["prompts"]]
        for name, record in adapters.items():
            answered = [prompt for prompt in record["prompts"] if prompt["answer_token_ids"]]
            questions += [(name, record, prompt) for prompt in answered[:PROMPTS]]
        try:
            found = await asyncio.gather(
                *(
                    backend.logprobs(name, prompt["prompt_token_ids"], prompt["answer_token_ids"])
                    for name, _source, prompt in questions
                )
            )
        finally:
            await asyncio.gather(*beside)
        for (name, source, prompt), scores in zip(questions, found, strict=True):
            difference = _difference(scores, prompt["logprobs"])
            worst[name] = max(worst.get(name, 0.0), round(difference, 6))
            if difference > (source["bound"] if name == base.base_name else bound_of(source)):
                wrong.add(name)
        asked += len(questions)
    others = {name: value for name, value in worst.items() if name != base.base_name}
    return {
        "is_right": not wrong,
        "asked": asked,
        "adapters": len(adapters),
        "base_difference": worst.get(base.base_name),
        "adapter_difference": max(others.values(), default=None),
        "wrong": sorted(wrong),
    }


async def write_base(backend: Backend, base_name: str, record: dict[str, Any]) -> list[dict[str, Any]]:
    """What the base alone writes behind two prompts, for `probe_written`. Raises ApiError."""
    prompts = [prompt["prompt_token_ids"] for prompt in record["prompts"]][:PROMPTS]
    return [
        {"prompt_token_ids": each, "choice": await _written(backend, base_name, each)} for each in prompts
    ]


async def probe_written(
    backend: Backend, *, base: Target, written: Sequence[dict[str, Any]], adapters: Sequence[str]
) -> dict[str, Any]:
    """As `probe`, for a server that dies of probabilities asked at once: the base writes while the adapters do."""
    worst, asked = 0.0, 0
    for _ in range(ROUNDS):
        beside = [asyncio.ensure_future(_write(backend, base, name)) for name in adapters]
        try:
            found = await asyncio.gather(
                *(_written(backend, base.base_name, each["prompt_token_ids"]) for each in written)
            )
        finally:
            await asyncio.gather(*beside)
        for each, choice in zip(written, found, strict=True):
            worst = max(worst, written_difference(each["choice"], choice))
        asked += len(written)
    is_right = worst <= WRITTEN_BOUND
    return {
        "is_right": is_right,
        "asked": asked,
        "adapters": len(adapters),
        "base_difference": round(worst, 6),
        "adapter_difference": None,
        "wrong": [] if is_right else [base.base_name],
    }


def written_difference(alone: dict[str, Any], among: dict[str, Any]) -> float:
    """The mean difference of how probable the tokens written alone were, up to the first that is another one (nats)."""
    differences = []
    for place, (token, logprob) in enumerate(zip(alone["tokens"], alone["token_logprobs"], strict=True)):
        if place >= len(among["tokens"]):
            differences.append(FAR)  # it ended here
            break
        likeliest = among["top_logprobs"][place]
        is_same = among["tokens"][place] == token
        value = among["token_logprobs"][place] if is_same else likeliest.get(token, logprob - FAR)
        differences.append(abs(value - logprob))
        if not is_same:
            break
    return sum(differences) / len(differences) if differences else 0.0


async def _written(backend: Backend, name: str, prompt: list[int]) -> dict[str, Any]:
    body = {"model": name, "prompt": prompt, "max_tokens": TOKENS_BESIDE, "temperature": 0}
    reply = await backend.forward("/v1/completions", body | {"logprobs": LIKELIEST})
    try:
        found = json.loads(await reply.read())["choices"][0]["logprobs"]
        return {key: found[key] for key in ("tokens", "token_logprobs", "top_logprobs")}
    except (ValueError, LookupError, TypeError) as problem:
        raise AnswerBroke(f"{name} wrote something without its probabilities.") from problem


async def _write(backend: Backend, base: Target, name: str) -> None:
    request = ChatRequest(
        model=name, messages=[{"role": "user", "content": "Hello"}], max_tokens=TOKENS_BESIDE, temperature=0
    )
    target = Target(model_id=name, base_name=name, base_path=base.base_path)
    # It only keeps the server busy; what goes wrong there, the questions beside it will say.
    with suppress(ApiError):
        await backend.chat(target, request)


def _difference(scores: Sequence[Scored], expected: Sequence[float]) -> float:
    pairs = zip(scores, expected, strict=True)
    differences = [abs(score.logprob - value) for score, value in pairs]
    return sum(differences) / len(differences) if differences else 0.0
