"""Plain text: `{"text": "…"}`, learned from its first word to its last, without question and answer."""

from typing import Any

from .base import TEXT, BadRow, Example, conversation_of, field, split_of, text_of

NAME = "text"
KIND = TEXT
SHAPE = '{"text": "…"}'

# Beside these names a text is a question (classified, summarised, answered), and not to be learned as it is.
ANSWERS = {
    "label", "labels", "summary", "target", "output", "response", "answer", "answers", "completion", "question",
}  # fmt: skip


def fits(record: dict[str, Any]) -> bool:
    """Whether the record is a text, with at most some notes beside it."""
    return "text" in record and not ANSWERS & record.keys()


def to_examples(record: dict[str, Any], key: str | None = None) -> list[Example]:
    """The record as an example; raises BadRow."""
    text = text_of(field(record, "text", SHAPE), "“text”")
    if not text.strip():
        raise BadRow("“text” is empty.", "Fill it in, or leave out this row.", code="empty_text")
    return [Example({"text": text}, TEXT, key or conversation_of(record), split_of(record))]
