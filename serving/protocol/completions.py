"""A request to go on with a text, as it stands: no chat template is put around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from serving.protocol import values
from serving.protocol.abilities import Ability, Asks, needed, refuse_what_is_not_done
from serving.protocol.errors import ApiError
from serving.protocol.sampling import Sampling, read_sampling

HINTS = frozenset({"user"})

KNOWN = frozenset({
    "model", "prompt", "max_tokens", "temperature", "top_p", "frequency_penalty", "presence_penalty", "seed",
    "stop", "stream", "stream_options",
})  # fmt: skip

ASKING = {
    "best_of": Asks(Ability.BEST_OF, 1, 0),
    "echo": Asks(Ability.ECHO, False),
    "logit_bias": Asks(Ability.LOGIT_BIAS, {}),
    "logprobs": Asks(Ability.LOGPROBS),
    "n": Asks(Ability.CHOICES, 1),
    "suffix": Asks(Ability.SUFFIX, ""),
}

MOST_CHOICES = 128
MOST_PROMPTS = 2048


@dataclass(frozen=True, slots=True)
class CompletionRequest(Sampling):
    """A checked request. `prompts` are all texts or all token ids; each gets `n` choices, in this order.

    `logprobs` None: none; a number: those of the chosen tokens and of so many likeliest ones.
    """

    model: str
    prompts: list[str] | list[list[int]]
    max_tokens: int = 16
    n: int = 1
    best_of: int = 1
    logprobs: int | None = None
    echo: bool = False
    suffix: str = ""


def parse_completion_request(body: Any, abilities: frozenset[Ability]) -> CompletionRequest:
    """As `parse_chat_request`, for `/v1/completions`."""
    body = values.as_object(body)
    model = values.model_name(body)
    needed(Ability.COMPLETIONS, abilities, "/v1/completions", model)
    refuse_what_is_not_done(body, known=KNOWN, hints=HINTS, asking=ASKING, abilities=abilities)

    prompts = values.texts_or_tokens(values.required(body, "prompt"), "prompt", MOST_PROMPTS)
    if isinstance(prompts[0], list) and Ability.TOKEN_PROMPTS not in abilities:
        raise ApiError(
            "This model takes prompts as text, not as token ids.",
            param="prompt",
            code="unsupported_parameter",
        )
    stream = values.flag(body, "stream")
    echo = values.flag(body, "echo")
    logprobs = values.integer(body, "logprobs", 0, 5)
    max_tokens = values.integer(body, "max_tokens", 0, None)
    if max_tokens == 0 and not echo:
        raise ApiError(
            "`max_tokens` 0 asks for nothing, unless `echo` is true.",
            param="max_tokens",
            code="invalid_value",
        )
    n, best_of = _choices(body, stream)
    return CompletionRequest(
        model=model,
        prompts=prompts,
        max_tokens=16 if max_tokens is None else max_tokens,
        **read_sampling(body, stream=stream),
        n=n,
        best_of=best_of,
        logprobs=logprobs,
        echo=echo,
        suffix=values.text(body.get("suffix", ""), "suffix"),
        logit_bias=values.logit_bias(body),
    )


def _choices(body: dict[str, Any], is_stream: bool) -> tuple[int, int]:
    """`n` and `best_of`: so many are written, and so many of them given."""
    n = values.integer(body, "n", 1, MOST_CHOICES) or 1
    best_of = values.integer(body, "best_of", 0, 20) or n
    if best_of < n:
        raise ApiError(f"`best_of` must be at least `n` ({n}), got {best_of}.", param="best_of")
    if best_of > n and is_stream:
        raise ApiError("Which choice is best is not known while they stream.", param="best_of")
    return n, best_of
