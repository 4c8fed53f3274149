"""What a provider's refusal means: read from its status, its words and its headers. Pure."""

from __future__ import annotations

import json
import re
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import quote

from providers.base import Failure

LONGEST_WORDS = 500  # characters of a provider's message that are shown
HIDDEN = "[key]"

# What providers call it, in `type`, `code` or `error_code`. The first that is known counts, not the status: OpenAI
# sends 429 for an empty purse, too, and Anthropic for a spending limit.
NAMED: dict[str, Failure] = {
    "insufficient_quota": Failure.QUOTA,
    "billing_error": Failure.QUOTA,
    "billing_hard_limit_reached": Failure.QUOTA,
    "billing_not_active": Failure.QUOTA,
    "enforced_spend_limit_reached": Failure.QUOTA,
    "budget_exceeded": Failure.QUOTA,
    "context_length_exceeded": Failure.CONTEXT,
    "string_above_max_length": Failure.CONTEXT,
    "request_too_large": Failure.CONTEXT,
    "content_filter": Failure.CONTENT,
    "content_policy_violation": Failure.CONTENT,
    "invalid_prompt": Failure.CONTENT,
    "moderation_blocked": Failure.CONTENT,
    "invalid_api_key": Failure.AUTH,
    "authentication_error": Failure.AUTH,
    "permission_error": Failure.AUTH,
    "overloaded_error": Failure.OVERLOAD,
    "rate_limit_exceeded": Failure.RATE,
    "rate_limit_error": Failure.RATE,
    "timeout_error": Failure.OVERLOAD,
    "api_error": Failure.OVERLOAD,
    "server_error": Failure.OVERLOAD,
    "internal_server_error": Failure.OVERLOAD,
}
SPENT = re.compile(r"exceeded your current quota|credit balance is too low|credits? limit|monthly included credits"
                   r"|usage limits?, ?you|spend(ing)? limit|payment required|purchase .*credits"
                   r"|credits? (has |have )?expired|reached your \w+ usage limit", re.I)  # fmt: skip
TOO_LONG = re.compile(r"context (length|window|size)|maximum context|prompt is too long|input (length|is too long)"
                      r"|too many (input )?tokens|exceeds? the (model'?s )?max(imum)? (number of )?(input )?tokens"
                      r"|exceeds the available context|`inputs` .*must (be <=|have less than)", re.I)  # fmt: skip
FORBIDDEN = re.compile(r"content (filtering|management) policy|content policy|flagged as potentially violating"
                       r"|safety system", re.I)  # fmt: skip
BY_STATUS: dict[int, Failure] = {
    401: Failure.AUTH, 402: Failure.QUOTA, 403: Failure.AUTH, 407: Failure.AUTH, 408: Failure.OVERLOAD,
    409: Failure.OVERLOAD, 413: Failure.CONTEXT, 425: Failure.OVERLOAD, 429: Failure.RATE,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Said:
    """An error as a provider put it; `names` are what it calls it, the most exact first."""

    message: str
    names: tuple[str, ...] = ()
    param: str | None = None


def read_words(text: str) -> Said:
    """OpenAI's and Anthropic's envelopes, bare `error` texts, problem+json, FastAPI's lists, plain text."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        bare = re.sub(r"<[^<>]*>", " ", text) if "<html" in text.lower() else text
        return Said(" ".join(bare.split())[:LONGEST_WORDS])
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, dict):
        return Said(str(body)[:LONGEST_WORDS])
    error = body.get("error") or body
    if not isinstance(error, dict):
        return Said(str(error)[:LONGEST_WORDS], texts(body.get("error_type"), body.get("code")))
    details = error.get("details")
    exact = details.get("error_code") if isinstance(details, dict) else None
    message = error.get("message") or error.get("detail") or error.get("title") or body.get("detail")
    if isinstance(message, list):  # FastAPI: [{"loc": ["body", "x"], "msg": "…"}]
        message = "; ".join(
            str(item.get("msg", item)) if isinstance(item, dict) else str(item) for item in message
        )
    param = error.get("param")
    return Said(
        str(message or error)[:LONGEST_WORDS],
        texts(exact, error.get("code"), error.get("type")),
        param if isinstance(param, str) else None,
    )


def texts(*values: object) -> tuple[str, ...]:
    return tuple(value for value in values if isinstance(value, str) and value)


def failure_of(status: int, said: Said) -> Failure:
    known = next((NAMED[name] for name in said.names if name in NAMED), None)
    if known is Failure.RATE and SPENT.search(said.message):
        return Failure.QUOTA
    if known:
        return known
    if status in (400, 402, 403, 429) and SPENT.search(said.message):
        return Failure.QUOTA
    if status in (400, 413, 422, 500) and TOO_LONG.search(said.message):
        return Failure.CONTEXT
    if status in (400, 403, 422) and FORBIDDEN.search(said.message):
        return Failure.CONTENT
    if status in BY_STATUS:
        return BY_STATUS[status]
    return Failure.OVERLOAD if status >= 500 else Failure.BAD_REQUEST


def told_to_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds by `retry-after-ms` or `retry-after` (seconds or a date), if the provider says any."""
    if milliseconds := number(headers.get("retry-after-ms")):
        return milliseconds / 1000
    text = headers.get("retry-after")
    if text is None:
        return None
    if (seconds := number(text)) is not None:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < 1e9 else None


# --- parameters that a model does not take -------------------------------------------------------------------
DISPENSABLE = ("top_p", "temperature", "seed", "stream_options", "max_tokens")
NOT_TAKEN = re.compile(
    r"unsupported|not supported|does not support|not permitted|deprecated|cannot both|unrecognized|unknown"
    r"|unexpected|not allowed|only the default",
    re.I,
)


def refused_parameter(message: str, param: str | None) -> str | None:
    """The parameter that a model will not have, out of those that an answer can do without."""
    if not NOT_TAKEN.search(message):
        return None
    if param in DISPENSABLE:
        return param
    return next((name for name in DISPENSABLE if re.search(rf"\b{name}\b", message)), None)


# --- keys in other people's words ------------------------------------------------------------------------------
KEY_LIKE = re.compile(r"\b(?:sk[-_]|nvapi-|hf_|gsk_|xai-)[A-Za-z0-9*_.\-]{6,}")
SHORTEST_ECHO = 8  # characters of a key in a row that count as given away
WORD = re.compile(r"[^\s\"'`,;:()<>\[\]{}]+")


def scrub(text: str, *keys: str) -> str:
    """`text` without the keys, without pieces of them also where they are packed, and without what looks like a key."""
    for key in keys:
        if key:
            text = text.replace(key, HIDDEN)
    text = KEY_LIKE.sub(HIDDEN, text)
    pieces = {
        form[start : start + SHORTEST_ECHO]
        for key in keys
        for form in spellings(key)
        for start in range(len(form) - SHORTEST_ECHO + 1)
    }
    return WORD.sub(lambda word: HIDDEN if has_piece(word[0], pieces) else word[0], text) if pieces else text


def has_piece(word: str, pieces: set[str]) -> bool:
    return any(
        word[start : start + SHORTEST_ECHO] in pieces for start in range(len(word) - SHORTEST_ECHO + 1)
    )


def spellings(key: str) -> list[str]:
    """The key as it is, as an address writes it, in hex, and in base64 (as Basic does) wherever it begins in a text."""
    plain = key.encode()
    found = [key, quote(key, safe=""), plain.hex(), plain.hex().upper()]
    for before, clean in ((0, 0), (1, 2), (2, 3)):  # so many characters hold bits of what stands before it
        packed = b64encode(b"\0" * before + plain).decode().rstrip("=")
        # The last one may hold bits of what stands behind it.
        packed = packed[clean:-1] if (before + len(plain)) % 3 else packed[clean:]
        found += [packed, packed.replace("+", "-").replace("/", "_")]
    return found
