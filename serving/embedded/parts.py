"""Which of the answers that a request asks for, and what vLLM lets a request say beyond OpenAI. No torch in here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from serving.protocol import Ability, ApiError, ChatRequest, CompletionRequest
from serving.protocol.values import flag, integer

ABILITIES = frozenset(
    {
        Ability.CHAT, Ability.COMPLETIONS, Ability.TOKEN_PROMPTS, Ability.CHOICES, Ability.LOGPROBS, Ability.ECHO,
    }
)  # fmt: skip
MOST_PROMPT_LOGPROBS = 20


@dataclass(frozen=True, slots=True)
class Part:
    """The `choice`-th answer to the `prompt`-th prompt. `prompt_top`: how many likeliest tokens of the prompt's."""

    prompt: int = 0
    choice: int = 0
    prompt_top: int | None = None
    ignore_eos: bool = False
    add_special_tokens: bool = True

    def seed_of(self, request: ChatRequest | CompletionRequest) -> int | None:
        """Each choice has a seed of its own, by vLLM's rule."""
        return None if request.seed is None else (request.seed + self.choice) % 2**63


PLAIN = Part()
EXTRAS = ("prompt_logprobs", "ignore_eos", "add_special_tokens")


def take_extras(body: Any) -> tuple[Any, Part]:
    """The body without the parameters that are vLLM's, and what they ask for; raises ApiError."""
    if not isinstance(body, dict):
        return body, PLAIN
    given = {name: body[name] for name in EXTRAS if body.get(name) is not None}
    rest = {name: value for name, value in body.items() if name not in EXTRAS}
    if body.get("stream") and given.get("prompt_logprobs") is not None:
        raise ApiError("`prompt_logprobs` cannot be streamed.", param="prompt_logprobs")
    return rest, Part(
        prompt_top=integer(given, "prompt_logprobs", 0, MOST_PROMPT_LOGPROBS),
        ignore_eos=flag(given, "ignore_eos"),
        add_special_tokens=flag({"add_special_tokens": True} | given, "add_special_tokens"),
    )


def parts_of(request: ChatRequest | CompletionRequest, common: Part) -> list[Part]:
    """All answers that are wanted, in the order of their index; raises ApiError where they are too many."""
    prompts = 1 if isinstance(request, ChatRequest) else len(request.prompts)
    if isinstance(request, CompletionRequest) and request.echo and request.logprobs is not None:
        common = replace(common, prompt_top=max(common.prompt_top or 0, request.logprobs))
    return [
        replace(common, prompt=prompt, choice=choice)
        for prompt in range(prompts)
        for choice in range(request.n)
    ]
