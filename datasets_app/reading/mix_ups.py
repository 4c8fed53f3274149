"""Classic mix-ups: files that are something else than their name says, and records meant for another door."""

from typing import Any

from datasets_app.containers.base import Opened
from datasets_app.formats.base import BadRow

LINES = (".jsonl", ".ndjson")
BY_ENDING: dict[str, tuple[str, ...]] = {
    ".json": ("json", "jsonl"),
    ".csv": ("csv",),
    ".tsv": ("csv",),
    ".parquet": ("parquet",),
}
CONTAINER_WORDS = {
    "jsonl": "JSON Lines, one record a line",
    "json": "one piece of JSON",
    "csv": "a table (CSV)",
    "parquet": "Parquet",
    "text": "plain text",
}


def openai_batch(record: dict[str, Any]) -> BadRow | None:
    """A line of OpenAI's batch files, in or out: a question to ask, or the envelope of an answer."""
    if "custom_id" not in record:
        return None
    if "url" in record or ("method" in record and "body" in record):
        return BadRow(
            "This is a line of an OpenAI batch: a question to ask, without an answer to learn from.",
            "Run it as a batch; examples to learn from have “messages” that end with the assistant.",
            code="openai_batch",
        )
    if "response" in record:
        return BadRow(
            "This is a line of the results of an OpenAI batch; the question is not in it.",
            'Join the questions with these answers: {"messages": [question, answer]}.',
            code="openai_batch",
        )
    return None


def misnamed(opened: Opened, container: str) -> BadRow | None:
    """A warning when the name promises another type of file than the content is."""
    name = opened.name.lower().removesuffix(".gz")
    if name.endswith(LINES):
        if container == "json":
            return _list_named_lines(opened)
        fits = container == "jsonl"
    else:
        ending = next((ending for ending in BY_ENDING if name.endswith(ending)), None)
        fits = ending is None or container in BY_ENDING[ending]
    if fits:
        return None
    return BadRow(
        f"By its name this is another type of file; its content is {CONTAINER_WORDS[container]}, and was read as that.",
        "Name it after its content: other programs go by the name.",
        code="misnamed",
    )


def _list_named_lines(opened: Opened) -> BadRow | None:
    start = opened.head.lstrip(b" \t\r\n")
    if start.startswith(b"["):
        return BadRow(
            "The file is named as JSON Lines, but holds one JSON list. It was read as a list.",
            "Name it .json, or write one record a line, without the brackets and commas around them.",
            code="misnamed",
        )
    if start.split(b"\n", 1)[0].rstrip().endswith(b"}"):
        return None  # a single line is JSON Lines too
    return BadRow(
        "The file is named as JSON Lines, but its records are written over several lines. It was read so.",
        "Write each record on one line (json.dumps without indent): most trainers read line by line.",
        code="pretty_printed",
    )
