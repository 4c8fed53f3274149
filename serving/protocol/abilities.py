"""What a backend can do beyond plain chat, and which parameters ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from serving.protocol.errors import ApiError
from serving.protocol.values import short


class Ability(StrEnum):
    """Each backend names its own in `Backend.abilities`; nobody guesses them."""

    CHAT = "chat"  # /v1/chat/completions
    COMPLETIONS = "completions"  # /v1/completions, prompts as text
    TOKEN_PROMPTS = "token_prompts"  # prompts as token ids there
    EMBEDDINGS = "embeddings"  # /v1/embeddings
    CHOICES = "choices"  # n
    BEST_OF = "best_of"
    LOGPROBS = "logprobs"  # logprobs, top_logprobs
    ECHO = "echo"  # completions that give the prompt back
    SUFFIX = "suffix"  # completions that fill in before a given end
    TOOLS = "tools"  # tools, and messages that call them
    TOOL_CHOICE = "tool_choice"
    RESPONSE_FORMAT = "response_format"  # answers held to JSON or to a schema
    LOGIT_BIAS = "logit_bias"
    REASONING = "reasoning_effort"


PLAIN_CHAT = frozenset({Ability.CHAT})


class Asks(tuple):
    """What a parameter needs: an ability (None: nobody here has it), and the values that ask for nothing."""

    __slots__ = ()

    def __new__(cls, ability: Ability | None, *idle: Any) -> Asks:
        return super().__new__(cls, (ability, idle))


def refuse_what_is_not_done(
    body: Mapping[str, Any],
    *,
    known: frozenset[str],
    hints: frozenset[str],
    asking: Mapping[str, Asks],
    abilities: frozenset[Ability],
) -> None:
    """400 that names the first parameter that would change the answer and that nobody would follow.

    `hints` change nothing and pass; so does a value that asks for nothing. A name that OpenAI does not know is
    refused, too: it may be a misspelt one.
    """
    for name, value in body.items():
        if name in known or name in hints:
            continue
        if name not in asking:
            raise ApiError(
                f"Unrecognized request argument supplied: {printable(name)}",
                param=printable(name), code="unknown_parameter",
            )  # fmt: skip
        ability, idle = asking[name]
        if ability in abilities:
            continue
        # `type` keeps True from passing as 1 and 0 from passing as False.
        if not any(value == fine and type(value) is type(fine) for fine in idle):
            raise ApiError(
                f"Unsupported parameter: `{name}` is not supported by this model (got {short(value)}).",
                param=name, code="unsupported_parameter",
            )  # fmt: skip


def needed(ability: Ability, abilities: frozenset[Ability], path: str, model: str) -> None:
    """400 where what answers does not know this address at all."""
    if ability not in abilities:
        raise unsupported_endpoint(path, model)


def unsupported_endpoint(path: str, model: str) -> ApiError:
    return ApiError(
        f"The model `{printable(model)}` does not answer at {path}.",
        param="model",
        code="unsupported_endpoint",
    )


def printable(name: str) -> str:
    """A parameter's name as an answer can hold it, whatever was sent."""
    return name[:80].encode(errors="replace").decode()
