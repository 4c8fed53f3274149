"""The lines of a batch's file: `{"custom_id", "method", "url", "body"}`, checked before any is answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST_LINES = 50_000
MOST_BYTES = 200 * 1024 * 1024
ERRORS_KEPT = 50
LONGEST_ID = 512


@dataclass(frozen=True)
class Question:
    """Line `number` of the file, from 0; lines without anything are not counted."""

    number: int
    custom_id: str
    body: dict[str, Any]


class BadLine(ValueError):
    """What is wrong with a line: a code and the name of the field, as OpenAI has them."""

    def __init__(self, code: str, message: str, param: str | None = None):
        super().__init__(message)
        self.code, self.param = code, param


def questions(path: Path) -> Iterator[Question]:
    """Of a file that `faults_of` has found good."""
    for number, _place, line in full_lines(path):
        found = json.loads(line)
        yield Question(number, found["custom_id"], found["body"])


def full_lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """`(number from 0, line of the file from 1, bytes)` of every line that is not blank."""
    number = 0
    with open(path, "rb") as file:
        for place, line in enumerate(file, 1):
            if line.strip():
                yield number, place, line
                number += 1


def faults_of(path: Path, endpoint: str) -> tuple[list[dict[str, Any]], int, set[str]]:
    """`(faults as OpenAI lists them, number of questions, models that are asked)`."""
    faults: list[dict[str, Any]] = []
    if path.stat().st_size > MOST_BYTES:
        return [fault("file_too_large", f"The file is larger than {MOST_BYTES} bytes.")], 0, set()
    seen: set[str] = set()
    models: set[str] = set()
    count = 0
    for number, place, line in full_lines(path):
        count = number + 1
        if count > MOST_LINES:
            return [fault("too_many_requests", f"The file has more than {MOST_LINES} lines.")], count, models
        try:
            custom_id, body = read_line(line, endpoint)
            if custom_id in seen:
                raise BadLine(
                    "duplicate_custom_id", f"The custom_id {custom_id!r} is there already.", "custom_id"
                )
            seen.add(custom_id)
            if isinstance(body.get("model"), str):
                models.add(body["model"])
        except BadLine as problem:
            faults.append(fault(problem.code, str(problem), problem.param, place))
            if len(faults) == ERRORS_KEPT:
                break
    if not count:
        faults.append(fault("empty_file", "The file has no line with a request."))
    return faults, count, models


def fault(code: str, message: str, param: str | None = None, line: int | None = None) -> dict[str, Any]:
    return {"code": code, "message": message[:500], "param": param, "line": line}


def read_line(line: bytes, endpoint: str) -> tuple[str, dict[str, Any]]:
    """Raises BadLine."""
    try:
        found = json.loads(line)
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as problem:  # UnicodeEncodeError is a ValueError
        raise BadLine("invalid_json_line", "This line is not JSON, or not text.") from problem
    if not isinstance(found, dict):
        raise BadLine("invalid_json_line", "This line is no JSON object.")
    for name in ("custom_id", "method", "url", "body"):
        if name not in found:
            raise BadLine("missing_required_parameter", f"Missing required parameter: '{name}'.", name)
    custom_id = found["custom_id"]
    if not isinstance(custom_id, str) or not custom_id or len(custom_id) > LONGEST_ID:
        raise BadLine(
            "invalid_custom_id", f"custom_id must be a text of 1 to {LONGEST_ID} characters.", "custom_id"
        )
    if found["method"] != "POST":
        raise BadLine("invalid_method", "The method must be POST.", "method")
    if found["url"] != endpoint:
        raise BadLine("mismatched_url", f"The url must be that of the batch, {endpoint}.", "url")
    if not isinstance(found["body"], dict):
        raise BadLine("invalid_body", "The body must be a JSON object.", "body")
    if "\\u0000" in line.decode():
        raise BadLine("invalid_value", "The line holds U+0000, which cannot be kept.", None)
    return custom_id, found["body"]
