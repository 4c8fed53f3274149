"""Whether a server answers as the adapter did where it was trained (docs/decisions/0095). No Django in here.

The engine leaves `parity.json` beside each adapter: prompts, their token ids, greedy answers and how probable each
token was. The server is asked what it makes of the same prompts and of the same tokens: one pass for each, in which
nothing is written. Differences are natural logarithms of probabilities (nats), taken over all answer tokens.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rendering import Renderer
from serving.backends.base import Backend, Scored

# The mean difference that rounding makes where everything is right, by what the reference was computed in; measured
# in docs/decisions/0095.
BOUNDS = {"fp32": 0.01, "fp16": 0.01, "bf16": 0.02}
# Where the reference itself was made by a base in 4 bits: the served base is another one, and that is not gated.
QUANTISED_BOUND = 0.5
# Beyond this no way of storing a base model explains the difference.
FAR = 0.6
# Asked of servers of adapters that were trained before their messages were kept in parity.json.
USUAL_MESSAGES: list[list[dict[str, Any]]] = [
    [{"role": "user", "content": "Hello"}],
    [
        {"role": "system", "content": "Answer in one line."},
        {"role": "user", "content": "What is 2 + 2?"},
        {"role": "assistant", "content": "4"},
        {"role": "user", "content": "And 3 + 3?"},
    ],
]

EQUAL, NO_REFERENCE, NOT_TOLD = "", "no_reference", "not_told"
TEMPLATE, WRONG_BASE, QUANTISED = "template_drift", "wrong_base", "quantisation"
NOT_APPLIED, STALE, CORRUPTED, OTHER = "not_applied", "stale_adapter", "corrupted", "differs"
MIXES = "mixes_up"


@dataclass(frozen=True)
class Divergence:
    """The first token of an answer where the server would have written another one."""

    prompt: int
    position: int
    expected: int
    found: int
    expected_text: str = ""
    found_text: str = ""


@dataclass(frozen=True)
class Parity:
    """What came of it. `is_equal` None: there was nothing to compare with. `reason` is one of the names above.

    `difference` is the mean over all tokens, `base_difference` that of the base alone where it was asked,
    `worst` the largest of a single token; `drift` is what the engine wrote of a training in 4 bits.
    """

    is_equal: bool | None
    reason: str = EQUAL
    bound: float = 0.0
    precision: str = ""
    prompts: int = 0
    tokens: int = 0
    difference: float | None = None
    worst: float | None = None
    base_difference: float | None = None
    same_answers: int = 0
    divergence: Divergence | None = None
    drift: dict[str, Any] | None = None
    seconds: float = 0.0
    details: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def read_record(directory: Path) -> dict[str, Any] | None:
    """The adapter's parity.json, or None where it has none that can be used."""
    try:
        record = json.loads((directory / "parity.json").read_text())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("prompts"), list) else None


async def compare(
    backend: Backend, *, name: str, base_name: str, record: dict[str, Any] | None, renderer: Renderer | None
) -> Parity:
    """Puts the reference to the server's model `name`, whose base is `base_name` there. Raises ApiError.

    `renderer` is that of the adapter's base, for texts and for references without messages.
    """
    started = asyncio.get_running_loop().time()
    told = _told(record)
    found = await _compare_prompts(backend, name, record, renderer) if record or renderer else None
    if found:
        return Parity(False, TEMPLATE, **told, details=found)
    prompts = [prompt for prompt in (record or {}).get("prompts", []) if prompt["answer_token_ids"]]
    if not prompts:
        return Parity(None, NO_REFERENCE, **told)
    scores = await _score(backend, name, prompts)
    verdict = judge(prompts, scores, None, bound=told["bound"])
    if not verdict.is_equal:
        verdict = judge(prompts, scores, await _score(backend, base_name, prompts), bound=told["bound"])
    return replace(
        verdict,
        precision=told["precision"],
        divergence=_with_texts(verdict.divergence, renderer),
        drift=told["drift"],
        seconds=round(asyncio.get_running_loop().time() - started, 3),
    )


async def _score(backend: Backend, name: str, prompts: Sequence[dict[str, Any]]) -> list[list[Scored]]:
    # One after the other: vLLM on a processor dies of two at once, unless it is mended (decision 0095).
    return [
        await backend.logprobs(name, each["prompt_token_ids"], each["answer_token_ids"]) for each in prompts
    ]


async def _compare_prompts(
    backend: Backend, name: str, record: dict[str, Any] | None, renderer: Renderer | None
) -> dict[str, Any]:
    """What the server's template and tokenizer make otherwise; empty if nothing."""
    for messages, tools, expected in _prompts_of(record, renderer):
        found = await backend.token_ids(name, messages, tools)
        if list(found) != list(expected):
            place = next(
                (i for i, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b),
                min(len(found), len(expected)),
            )
            return {
                "position": place,
                "expected": list(expected[place : place + 8]),
                "found": list(found[place : place + 8]),
                "expected_text": _text(renderer, expected[place : place + 8]),
                "found_text": _text(renderer, found[place : place + 8]),
            }
    return {}


def _prompts_of(record: dict[str, Any] | None, renderer: Renderer | None):
    kept = [prompt for prompt in (record or {}).get("prompts", []) if prompt.get("messages")]
    for prompt in kept:
        yield prompt["messages"], prompt.get("tools"), prompt["prompt_token_ids"]
    if renderer and not kept:
        for messages in USUAL_MESSAGES:
            yield messages, None, renderer.render_prompt(messages).token_ids


def judge(
    prompts: Sequence[dict[str, Any]],
    scores: Sequence[Sequence[Scored]],
    base_scores: Sequence[Sequence[Scored]] | None,
    *,
    bound: float,
) -> Parity:
    """Green, or red with the reason, from what the server said of the adapter's tokens and of the base's.

    `stale_adapter` also stands for an adapter that was damaged; only its files tell the two apart.
    """
    found = [score.logprob for one in scores for score in one]
    expected = [value for prompt in prompts for value in prompt["logprobs"]]
    if len(found) != len(expected) or not all(map(_is_finite, found)):
        return Parity(False, CORRUPTED, bound, prompts=len(prompts), tokens=len(expected))
    differences = [abs(a - b) for a, b in zip(found, expected, strict=True)]
    mean = _mean(differences)
    divergences = [_divergence(index, *pair) for index, pair in enumerate(zip(prompts, scores, strict=True))]
    values: dict[str, Any] = {
        "bound": bound,
        "prompts": len(prompts),
        "tokens": len(expected),
        "difference": round(mean, 6),
        "worst": round(max(differences), 6),
        "same_answers": divergences.count(None),
        "divergence": next((one for one in divergences if one), None),
    }
    if mean <= bound:
        return Parity(True, EQUAL, **values)
    base_difference = _base_difference(prompts, base_scores)
    reason = _reason(mean, base_difference, found, base_scores, bound)
    is_known = base_difference is not None and math.isfinite(base_difference)
    rounded = round(base_difference, 6) if is_known else None
    return Parity(False, reason, **values, base_difference=rounded)


def _reason(
    mean: float,
    base_difference: float | None,
    found: Sequence[float],
    base_scores: Sequence[Sequence[Scored]] | None,
    bound: float,
) -> str:
    if base_scores is not None:
        alone = [score.logprob for one in base_scores for score in one]
        if len(alone) == len(found) and _mean(abs(a - b) for a, b in zip(found, alone, strict=True)) < 1e-3:
            # It answers as its base does, and that is not how the adapter answered.
            is_right_base = base_difference is None or base_difference <= bound
            return NOT_APPLIED if is_right_base else WRONG_BASE
    if base_difference is None:
        return OTHER if mean > FAR else QUANTISED
    if base_difference > FAR:
        return WRONG_BASE
    if base_difference > bound:
        # The base is another one only a little: kept in fewer bits. More than that has another cause.
        return QUANTISED if mean <= 3 * base_difference else STALE
    return STALE


def _base_difference(
    prompts: Sequence[dict[str, Any]], base_scores: Sequence[Sequence[Scored]] | None
) -> float | None:
    """How far the server's base is from the one of the training; None where that was not written down."""
    if base_scores is None or not all("base_logprobs" in prompt for prompt in prompts):
        return None
    found = [score.logprob for one in base_scores for score in one]
    expected = [value for prompt in prompts for value in prompt["base_logprobs"]]
    if len(found) != len(expected) or not all(map(_is_finite, found)):
        return math.inf
    return _mean(abs(a - b) for a, b in zip(found, expected, strict=True))


def _divergence(index: int, prompt: dict[str, Any], scores: Sequence[Scored]) -> Divergence | None:
    for place, (token, score) in enumerate(zip(prompt["answer_token_ids"], scores, strict=False)):
        if score.best_token_id != token:
            return Divergence(index, place, token, score.best_token_id)
    return None


def _with_texts(divergence: Divergence | None, renderer: Renderer | None) -> Divergence | None:
    if divergence is None:
        return None
    texts = (_text(renderer, [divergence.expected]), _text(renderer, [divergence.found]))
    return Divergence(divergence.prompt, divergence.position, divergence.expected, divergence.found, *texts)


def _text(renderer: Renderer | None, token_ids: Sequence[int]) -> str:
    return renderer.decode(list(token_ids), skip_special_tokens=False) if renderer else ""


def _told(record: dict[str, Any] | None) -> dict[str, Any]:
    record = record or {}
    precision = record.get("precision", "")
    return {"precision": precision, "bound": bound_of(record), "drift": record.get("drift")}


def bound_of(record: dict[str, Any]) -> float:
    """The mean difference up to which a server answers as it did there."""
    bound = BOUNDS.get(record.get("precision", ""), BOUNDS["bf16"])
    return bound if record.get("quantization", "none") == "none" else max(bound, QUANTISED_BOUND)


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _mean(values) -> float:
    listed = list(values)
    return sum(listed) / len(listed) if listed else 0.0
