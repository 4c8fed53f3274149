"""Questions to a model while it learns: greedy answers, with the probability of each token."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from rendering import Renderer
    from training.engine.data import Row

TEXT_PROMPT_TOKENS = 32


@dataclass(frozen=True)
class Question:
    """A prompt as the model is given it, the words that a person reads of it, and the answer of the row.

    `messages` and `tools` are what the template made the prompt of; None for the beginning of a plain text.
    """

    token_ids: list[int]
    text: str
    expected: str
    messages: list[dict[str, Any]] | None = None
    tools: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class Answer:
    """Token ids without what ended it, and the natural logarithm of each one's probability."""

    token_ids: list[int]
    logprobs: list[float]
    is_ended: bool


def question_of(row: Row, renderer: Renderer) -> Question:
    """The last question of a conversation, or the beginning of a text. Raises RenderError as rendering does."""
    if row.text:
        token_ids = renderer.render_plain(row.text).token_ids
        cut = max(1, min(TEXT_PROMPT_TOKENS, len(token_ids) // 2))
        return Question(token_ids[:cut], renderer.decode(token_ids[:cut]), renderer.decode(token_ids[cut:]))
    *before, answer = row.messages
    token_ids = renderer.render_prompt(before, tools=row.tools).token_ids
    asked = [message for message in before if message.get("role") == "user"]
    return Question(
        token_ids,
        words_of((asked or before or [{}])[-1]),
        words_of(answer),
        messages=list(before),
        tools=row.tools,
    )


def words_of(message: dict[str, Any]) -> str:
    """What a message says, or which calls it makes where it says nothing."""
    calls = [call.get("function", {}) for call in message.get("tool_calls") or []]
    shown = [f"{call.get('name')}({call.get('arguments')})" for call in calls]
    return " ".join([str(message.get("content") or ""), *shown]).strip()


def greedy_answer(
    model: torch.nn.Module, token_ids: Sequence[int], limit: int, stop_token_ids: Sequence[int]
) -> Answer:
    """The most probable token after the other, at most `limit`, until one that stops. Draws no random number.

    The model is asked as it is: in eval mode and without gradients if that is wanted.
    """
    import torch

    device = next(model.parameters()).device
    # Scores over the whole vocabulary are wanted of the last position only, where the architecture can say so.
    last_only = {"logits_to_keep": 1} if _takes(model, "logits_to_keep") else {}
    inputs = torch.tensor([list(token_ids)], device=device)
    found: list[int] = []
    logprobs: list[float] = []
    cache = None
    for _ in range(limit):
        output = model(input_ids=inputs, past_key_values=cache, use_cache=True, **last_only)
        cache = getattr(output, "past_key_values", None)
        scores = output.logits[0, -1].float().log_softmax(-1)
        best = int(scores.argmax())
        if best in stop_token_ids:
            return Answer(found, logprobs, is_ended=True)
        found.append(best)
        logprobs.append(scores[best].item())
        after = [best] if cache is not None else [*token_ids, *found]
        inputs = torch.tensor([after], device=device)
    return Answer(found, logprobs, is_ended=False)


def logprobs_of(model: torch.nn.Module, token_ids: Sequence[int], answer: Sequence[int]) -> list[float]:
    """The natural logarithm of the probability of each token of `answer` after `token_ids`, in one pass."""
    import torch

    if not answer:
        return []
    device = next(model.parameters()).device
    inputs = torch.tensor([[*token_ids, *answer]], device=device)
    scores = model(input_ids=inputs).logits[0, len(token_ids) - 1 : -1].float().log_softmax(-1)
    return scores[range(len(answer)), list(answer)].tolist()


def greedy_answers(
    model: torch.nn.Module, prompts: Sequence[Sequence[int]], limit: int, stop_token_ids: Sequence[int]
) -> list[list[int]]:
    """`greedy_answer` to several prompts at once, for reading: padding may turn a near tie."""
    import torch

    if not all(_takes(model, name) for name in ("attention_mask", "position_ids", "past_key_values")):
        return [greedy_answer(model, prompt, limit, stop_token_ids).token_ids for prompt in prompts]
    device = next(model.parameters()).device
    longest = max((len(prompt) for prompt in prompts), default=0)
    inputs = torch.tensor([[0] * (longest - len(p)) + list(p) for p in prompts], device=device)
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=device)
    places = (mask.cumsum(-1) - 1).clamp(min=0)
    found: list[list[int]] = [[] for _ in prompts]
    going, cache = set(range(len(prompts))), None
    last_only = {"logits_to_keep": 1} if _takes(model, "logits_to_keep") else {}
    for _ in range(limit):
        output = model(
            input_ids=inputs, attention_mask=mask, position_ids=places, past_key_values=cache, use_cache=True,
            **last_only,
        )  # fmt: skip
        cache = output.past_key_values
        best = output.logits[:, -1].argmax(-1)
        for index, token in enumerate(best.tolist()):
            if token in stop_token_ids:
                going.discard(index)
            if index in going:
                found[index].append(token)
        if not going:
            break
        inputs, places = best[:, None], places[:, -1:] + 1
        mask = torch.cat([mask, torch.ones_like(inputs)], dim=1)
    return found


def _takes(model: torch.nn.Module, name: str) -> bool:
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return name in inspect.signature(type(base).forward).parameters
