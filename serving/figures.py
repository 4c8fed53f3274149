"""How busy a server is, from the Prometheus page that vLLM keeps at `/metrics`, and the embedded process in small."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from typing import Any

from serving.backends.base import Backend
from serving.models import Node
from serving.protocol import ApiError

logger = logging.getLogger(__name__)

SECONDS = 2
STARTED = re.compile(r"^process_start_time_seconds ([0-9.eE+-]+)$", re.MULTILINE)
LINE = re.compile(r"^vllm:([a-z_]+)(?:\{[^}]*\})? ([0-9.eE+-]+)$", re.MULTILINE)
WANTED = {
    "num_requests_running": "running",
    "num_requests_waiting": "waiting",
    "generation_tokens_total": "tokens",
    "time_to_first_token_seconds_sum": "first_token_seconds",
    "time_to_first_token_seconds_count": "first_tokens",
}


async def read_figures(node: Node, backend: Backend) -> dict[str, Any]:
    """`running` and `waiting` questions, and since the last look `tokens_per_second` and `first_token` (seconds).

    `started` is when the server was started, in seconds of its clock.

    Empty where the server does not say, or nothing but the time has changed; nothing depends on it.
    """
    try:
        async with asyncio.timeout(SECONDS):
            text = await backend.metrics()
    except (ApiError, TimeoutError) as problem:
        logger.info("%s does not say how busy it is: %s", node, problem)
        return {}
    now = figures_between(node.figures, parse(text), time.time())
    return {} if now | {"at": 0} == node.figures | {"at": 0} else now


def parse(text: str) -> dict[str, float]:
    """Sums over all label sets of the counters and gauges that are wanted, and when the server was started."""
    found: dict[str, float] = {}
    for name, value in LINE.findall(text):
        if name in WANTED:
            found[WANTED[name]] = found.get(WANTED[name], 0.0) + float(value)
    if started := STARTED.search(text):
        found["started"] = float(started[1])
    return found


def is_another_run(before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether the server was started again since; False where it does not say."""
    started = (before.get("started"), now.get("started"))
    return None not in started and started[0] != started[1]


def figures_between(before: dict[str, Any], now: dict[str, float], at: float) -> dict[str, Any]:
    """What is kept: the counters as they are, and what they say of the time since `before`."""
    if not now:
        return {}
    counters = before.get("counters", {})
    seconds = at - before.get("at", at)
    tokens = now.get("tokens", 0.0) - counters.get("tokens", 0.0)
    firsts = now.get("first_tokens", 0.0) - counters.get("first_tokens", 0.0)
    waited = now.get("first_token_seconds", 0.0) - counters.get("first_token_seconds", 0.0)
    is_same_run = bool(counters) and tokens >= 0 and firsts >= 0 and seconds > 0
    return {
        "running": round(now.get("running", 0)),
        "waiting": round(now.get("waiting", 0)),
        "tokens_per_second": round(tokens / seconds, 1) if is_same_run else None,
        # Of a quiet time the last value stays: it still says how fast this server is.
        "first_token": round(waited / firsts, 4) if is_same_run and firsts else before.get("first_token"),
        "counters": now,
        "started": now.get("started"),
        "at": at,
    }
