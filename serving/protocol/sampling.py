"""What conversations and texts say alike of how an answer is drawn, where it ends and whether it streams."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from serving.protocol import values


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Part of a checked request. Temperature 0 is greedy."""

    temperature: float = 1.0
    top_p: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    seed: int | None = None
    stop: list[str] = field(default_factory=list)
    stream: bool = False
    include_usage: bool = False
    logit_bias: dict[str, float] = field(default_factory=dict)


def read_sampling(body: dict[str, Any], *, stream: bool) -> dict[str, Any]:
    """The fields of `Sampling` but `logit_bias`, from a JSON body; `ApiError` (400) for a wrong one."""
    return {
        "temperature": values.number(body, "temperature", 1.0, 0.0, 2.0),
        "top_p": values.number(body, "top_p", 1.0, 0.0, 1.0),
        "frequency_penalty": values.number(body, "frequency_penalty", 0.0, -2.0, 2.0),
        "presence_penalty": values.number(body, "presence_penalty", 0.0, -2.0, 2.0),
        "seed": values.integer(body, "seed", -(2**63), 2**63 - 1),
        "stop": values.stop_texts(body),
        "stream": stream,
        "include_usage": values.include_usage(body, stream),
    }
