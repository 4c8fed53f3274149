"""What a request to the OpenAI-compatible surface says, read and checked: bodies, forms, pages and ids."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from functools import wraps
from typing import Any

from asgiref.sync import sync_to_async
from django.core.exceptions import BadRequest, RequestDataTooBig, SuspiciousOperation
from django.db.models import Q, QuerySet
from django.http import HttpRequest, JsonResponse
from django.http.multipartparser import MultiPartParserError
from django.http.request import UnreadablePostError
from django.views.decorators.csrf import csrf_exempt

from serving.protocol import ApiError

MAX_BODY_BYTES = 1024 * 1024
MOST_METADATA, LONGEST_KEY, LONGEST_VALUE = 16, 64, 512
LEAST_EXPIRY, MOST_EXPIRY = 3600, 30 * 24 * 3600  # seconds


def by_method(**views: Callable) -> Callable:
    """One view for an address that answers several methods; another method gets the first view's 405."""

    @csrf_exempt
    async def view(request, **kwargs):
        chosen = views.get(request.method) or next(iter(views.values()))
        return await chosen(request, **kwargs)

    return view


def in_thread(handler: Callable) -> Callable:
    """A handler that asks the database, as one for the event loop."""

    @wraps(handler)
    async def waiting(request, *args, **kwargs):
        return await sync_to_async(handler)(request, *args, **kwargs)

    return waiting


def json_object(request: HttpRequest) -> dict[str, Any]:
    """The JSON object of a body; one without any bytes counts as empty. Raises ApiError."""
    body = read_body(request)
    if not body.strip():
        return {}
    try:
        found = json.loads(body)
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError as problem:
        half = ascii(problem.object[problem.start])
        raise ApiError(
            f"We could not parse the JSON body of your request: {half} is no character."
        ) from problem
    except (ValueError, RecursionError) as problem:
        raise ApiError(f"We could not parse the JSON body of your request: {problem}") from problem
    if not isinstance(found, dict):
        raise ApiError("The request body must be a JSON object.")
    refuse_nul(found)
    return found


def read_body(request: HttpRequest) -> bytes:
    try:
        declared = int(request.headers.get("content-length") or 0)
        if declared > MAX_BODY_BYTES or len(request.body) > MAX_BODY_BYTES:
            raise too_large(MAX_BODY_BYTES)
        return request.body
    except RequestDataTooBig as problem:
        raise too_large(MAX_BODY_BYTES) from problem
    except (UnreadablePostError, ValueError) as problem:
        raise ApiError("The request body could not be read to its end.") from problem


def too_large(limit: int) -> ApiError:
    return ApiError(f"The request body is larger than {limit} bytes.", status=413, code="too_large")


def refuse_nul(value: Any, where: str = "") -> None:
    """A database keeps no U+0000, so no text of a request may hold one."""
    if isinstance(value, str) and "\x00" in value:
        raise ApiError(f"`{where}` must not hold U+0000.", param=where or None, code="invalid_value")
    if isinstance(value, dict):
        for name, one in value.items():
            refuse_nul(name, where)
            refuse_nul(one, f"{where}.{name}" if where else name)
    if isinstance(value, list):
        for index, one in enumerate(value):
            refuse_nul(one, f"{where}[{index}]")


def form_of(request: HttpRequest):
    """`(fields, files)` of a multipart body. Raises ApiError."""
    try:
        return request.POST, request.FILES
    except RequestDataTooBig as problem:
        raise ApiError(str(problem), status=413, code="too_large") from problem
    except (
        MultiPartParserError,
        BadRequest,
        SuspiciousOperation,
        UnreadablePostError,
        ValueError,
    ) as problem:
        raise ApiError(f"We could not parse the form of your request: {problem}") from problem


def refuse_unknown(body: dict[str, Any], known: set[str], where: str = "") -> None:
    for name in body:
        if name not in known:
            full = (f"{where}.{name}" if where else name)[:100]
            raise ApiError(
                f"Unrecognized request argument supplied: {full}", param=full, code="unknown_parameter"
            )


def text_in(body: dict[str, Any], name: str, *, most: int = 200, is_needed: bool = False) -> str:
    """A text, "" where there is none (or null)."""
    value = body.get(name)
    if value is None:
        if is_needed:
            raise ApiError(
                f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter"
            )
        return ""
    if not isinstance(value, str) or (is_needed and not value):
        raise ApiError(f"`{name}` must be a text, got {short(value)}.", param=name, code="invalid_type")
    if len(value) > most:
        raise ApiError(
            f"`{name}` must have at most {most} characters, got {len(value)}.", param=name,
            code="string_above_max_length",
        )  # fmt: skip
    return value


def metadata_in(body: dict[str, Any]) -> dict[str, str]:
    """Up to 16 pairs of texts: keys of at most 64 characters, values of at most 512."""
    given = body.get("metadata")
    if given is None:
        return {}
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise ApiError("`metadata` must be an object of texts.", param="metadata", code="invalid_type")
    longest = max((max(len(key) - LONGEST_KEY, len(given[key]) - LONGEST_VALUE) for key in given), default=0)
    if len(given) > MOST_METADATA or longest > 0:
        raise ApiError(
            f"`metadata` may hold {MOST_METADATA} pairs, with keys of up to {LONGEST_KEY} characters and values of up "
            f"to {LONGEST_VALUE}.",
            param="metadata", code="invalid_value",
        )  # fmt: skip
    return given


def expiry_in(given: Any, where: str = "expires_after") -> int | None:
    """Seconds of `{"anchor": "created_at", "seconds": …}`, from an hour to 30 days; None where nothing is asked."""
    if given is None:
        return None
    if not isinstance(given, dict) or given.get("anchor") != "created_at":
        raise ApiError(
            f"`{where}.anchor` must be 'created_at'.", param=f"{where}.anchor", code="invalid_value"
        )
    seconds = given.get("seconds")
    if isinstance(seconds, str) and seconds.isascii() and seconds.isdigit():  # from a form
        seconds = int(seconds) if len(seconds) < 12 else MOST_EXPIRY + 1
    if (
        isinstance(seconds, bool)
        or not isinstance(seconds, int)
        or not LEAST_EXPIRY <= seconds <= MOST_EXPIRY
    ):
        raise ApiError(
            f"`{where}.seconds` must be from {LEAST_EXPIRY} to {MOST_EXPIRY}, got {short(seconds)}.",
            param=f"{where}.seconds", code="invalid_value",
        )  # fmt: skip
    return seconds


def limit_in(request: HttpRequest, *, usual: int, most: int) -> int:
    """`limit` of the address, at least 1; more than `most` is `most`."""
    given = request.GET.get("limit")
    if given is None:
        return usual
    digits = given.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise ApiError(f"`limit` must be an integer, got {short(given)}.", param="limit", code="invalid_type")
    if given.startswith("-") or not digits.strip("0"):
        raise ApiError(
            f"`limit` must be at least 1, got {short(given)}.", param="limit", code="invalid_value"
        )
    return min(int(digits), most) if len(digits) < 10 else most


def id_of(text: Any, prefix: str) -> uuid.UUID | None:
    """The row's key in `file-<32 hex>`; None for what is no id of this kind."""
    if not isinstance(text, str) or not text.startswith(prefix):
        return None
    digits = text[len(prefix) :]
    if len(digits) != 32 or not digits.isascii() or digits != digits.lower():
        return None
    try:
        return uuid.UUID(hex=digits)
    except ValueError:
        return None


def page_of(rows: QuerySet, request: HttpRequest, *, prefix: str, usual: int, most: int, order: str = "desc"):
    """`(rows of the page, has_more)`, newest first unless `order` is "asc", behind the row that `after` names."""
    limit = limit_in(request, usual=usual, most=most)
    after = request.GET.get("after")
    if after:
        key = id_of(after, prefix)
        last = rows.filter(pk=key).values("created_at", "pk").first() if key else None
        if last is None:
            raise ApiError(
                f"`after` names nothing of this list: {short(after)}.", param="after", code="invalid_value"
            )
        side = "gt" if order == "asc" else "lt"
        rows = rows.filter(
            Q(**{f"created_at__{side}": last["created_at"]})
            | Q(**{"created_at": last["created_at"], f"pk__{side}": last["pk"]})
        )
    signs = ("created_at", "pk") if order == "asc" else ("-created_at", "-pk")
    found = list(rows.order_by(*signs)[: limit + 1])
    return found[:limit], len(found) > limit


def list_response(data: list[dict], has_more: bool) -> JsonResponse:
    """OpenAI's list; first and last id are texts also where there is nothing, as its description of files says."""
    return JsonResponse(
        {
            "object": "list",
            "data": data,
            "first_id": data[0]["id"] if data else "",
            "last_id": data[-1]["id"] if data else "",
            "has_more": has_more,
        }
    )


def seconds(moment) -> int | None:
    """Whole seconds since 1970, as OpenAI counts."""
    return None if moment is None else int(moment.timestamp())


def short(value: Any) -> str:
    """A value in a message, never long."""
    try:
        shown = ascii(value)
    except RecursionError:
        return "what nests too deep to be shown"
    return shown if len(shown) <= 80 else shown[:77] + "..."
