"""Single values of a request: each function gives a good one back or raises `ApiError` (400) that names it."""

from __future__ import annotations

from typing import Any

from serving.protocol.errors import ApiError

MOST_INTEGER = 2**31 - 1  # no count of anything here is larger, and no database keeps any number
MOST_DEPTH = 100  # of what is passed on as it came; readers behind us give up at different depths


def is_unicode(text: str) -> bool:
    """False for a str with one half of a surrogate pair, which JSON can escape and nothing can encode."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_object(body: Any) -> dict[str, Any]:
    """The body without what is null, which everywhere means "not given"."""
    if not isinstance(body, dict):
        raise ApiError("The request body must be a JSON object.")
    return {name: value for name, value in body.items() if value is not None}


def required(body: dict[str, Any], name: str) -> Any:
    if name not in body:
        raise ApiError(
            f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter"
        )
    return body[name]


def model_name(body: dict[str, Any]) -> str:
    model = required(body, "model")
    if not isinstance(model, str) or not model:
        raise ApiError(f"`model` must be a non-empty string, got {short(model)}.", param="model")
    # A database can keep neither, so that no model has such a name.
    if not is_unicode(model) or "\x00" in model:
        raise ApiError(
            f"`model` must be Unicode text without U+0000, got {short(model)}.",
            param="model", code="invalid_value",
        )  # fmt: skip
    return model


def text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise ApiError(f"`{where}` must be a string, got {short(value)}.", param=where, code="invalid_type")
    if not is_unicode(value):
        raise ApiError(
            f"`{where}` holds half of a surrogate pair, which is no character.",
            param=where, code="invalid_value",
        )  # fmt: skip
    return value


def flag(body: dict[str, Any], name: str, where: str | None = None) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise ApiError(f"`{where or name}` must be true or false, got {short(value)}.", param=where or name)
    return bool(value)


def number(body: dict[str, Any], name: str, default: float, low: float, high: float) -> float:
    if name not in body:
        return default
    value = body[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ApiError(f"`{name}` must be a number, got {short(value)}.", param=name, code="invalid_type")
    if not low <= value <= high:  # NaN fails this too
        raise ApiError(
            f"`{name}` must be from {low:g} to {high:g}, got {value!r}.", param=name, code="invalid_value"
        )
    return float(value)


def integer(body: dict[str, Any], name: str, low: int, high: int | None) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise ApiError(f"`{name}` must be an integer, got {short(value)}.", param=name, code="invalid_type")
    most = MOST_INTEGER if high is None else high
    if not low <= value <= most:
        upper = f" and at most {most}" if high is not None or value > most else ""
        raise ApiError(
            f"`{name}` must be at least {low}{upper}, got {short(value)}.", param=name, code="invalid_value"
        )
    return value


def refuse_depth(value: Any, where: str) -> None:
    """For what is passed on as it came. Raises ApiError where it nests deeper than MOST_DEPTH."""
    level = [value]
    for _depth in range(MOST_DEPTH):
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner += one.values()
            elif isinstance(one, list):
                inner += one
        if not inner:
            return
        level = inner
    raise ApiError(f"`{where}` nests deeper than {MOST_DEPTH} levels.", param=where, code="invalid_value")


def stop_texts(body: dict[str, Any]) -> list[str]:
    stop = body.get("stop", [])
    stop = [stop] if isinstance(stop, str) else stop
    if not isinstance(stop, list) or len(stop) > 4 or not all(isinstance(one, str) and one for one in stop):
        raise ApiError(
            f"`stop` must be a string or up to 4 non-empty strings, got {short(stop)}.", param="stop"
        )
    return [text(one, "stop") for one in stop]


def include_usage(body: dict[str, Any], is_stream: bool) -> bool:
    options = body.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict):
        raise ApiError(f"`stream_options` must be an object, got {short(options)}.", param="stream_options")
    if not is_stream:
        raise ApiError("`stream_options` is only allowed when `stream` is true.", param="stream_options")
    return flag(options, "include_usage", "stream_options.include_usage")


def logit_bias(body: dict[str, Any]) -> dict[str, float]:
    """Token ids (as text) to what is added to their logits, -100 to 100."""
    given = body.get("logit_bias", {})
    if not isinstance(given, dict):
        raise ApiError(f"`logit_bias` must be an object, got {short(given)}.", param="logit_bias")
    for token, bias in given.items():
        is_number = isinstance(bias, int | float) and not isinstance(bias, bool)
        if not (token.isascii() and token.isdigit() and is_number and -100 <= bias <= 100):
            raise ApiError(
                f"`logit_bias` takes token ids with numbers from -100 to 100, got {short({token: bias})}.",
                param="logit_bias", code="invalid_value",
            )  # fmt: skip
    return given


def token_ids(value: Any, where: str) -> list[int]:
    """A non-empty list of token ids."""
    if not all(type(token) is int and 0 <= token < 2**31 for token in value):
        raise ApiError(
            f"`{where}` must be a string or a list of token ids, got {short(value)}.",
            param=where, code="invalid_type",
        )  # fmt: skip
    return value


def texts_or_tokens(given: Any, where: str, most: int) -> list[str] | list[list[int]]:
    """What `prompt` and `input` may be: a text, texts, token ids, or lists of these; always as a list."""
    if isinstance(given, str):
        return [text(given, where)]
    if not isinstance(given, list) or not given or len(given) > most and not isinstance(given[0], int):
        raise ApiError(
            f"`{where}` must be a string, a list of token ids, or a list of 1 to {most} of these, got {short(given)}.",
            param=where, code="invalid_type",
        )  # fmt: skip
    if isinstance(given[0], int):
        return [token_ids(given, where)]
    if isinstance(given[0], str):
        return [text(one, f"{where}[{index}]") for index, one in enumerate(given)]
    for index, one in enumerate(given):
        if not isinstance(one, list) or not one:
            raise ApiError(
                f"`{where}[{index}]` must be a string or a list of token ids, got {short(one)}.",
                param=f"{where}[{index}]", code="invalid_type",
            )  # fmt: skip
    return [token_ids(one, f"{where}[{index}]") for index, one in enumerate(given)]


def short(value: Any) -> str:
    """A value as an error shows it: what was received, in one short line."""
    try:
        shown = repr(value)
    except RecursionError:  # the JSON reader goes a few levels deeper than repr
        return "what nests too deep to be shown"
    except ValueError:  # a number of more digits than Python writes
        return "a number of very many digits"
    return shown if len(shown) <= 80 else shown[:77] + "…"
