"""Answers with a mark: `{"prompt": "…", "completion": "…", "label": true}`, texts or lists of messages.

TRL's "unpaired preference", for KTO; LLaMA-Factory writes `kto_tag` beside a conversation or alpaca's names.
"""

from typing import Any

from . import alpaca, sharegpt
from .base import UNPAIRED, BadRow, Example, Turn, excerpt, kind_of
from .chat import read_list
from .conversation import make_unpaired
from .prompt_completion import pair_of, prompt_turns, turns_of

NAME = "unpaired-preference"
KIND = UNPAIRED
SHAPE = '{"prompt": "…", "completion": "…", "label": true}'

LABELS = {"true": True, "1": True, "good": True, "false": False, "0": False, "bad": False}


def fits(record: dict[str, Any]) -> bool:
    """Whether the record has one answer and a label of it."""
    if "kto_tag" in record:
        return True
    return "label" in record and "completion" in record and "prompt" in record


def to_examples(record: dict[str, Any], key: str | None = None) -> list[Example]:
    """The record as one example; raises BadRow."""
    label = _label(record)
    prompt, completion = _parts(record)
    return [make_unpaired(prompt, completion, label, record)]


def _parts(record: dict[str, Any]) -> tuple[list[Turn], list[Turn]]:
    if "instruction" in record:
        asked = [*alpaca.turns_before(record), Turn("user", alpaca.question_of(record))]
        return asked, turns_of(record.get("output"), "assistant", "output")
    if pair := pair_of(record):
        return prompt_turns(record, pair[0]), turns_of(record[pair[1]], "assistant", pair[1])
    turns = sharegpt.turns_in(record) if sharegpt.fits(record) else _messages(record)
    if turns[-1].role != "assistant":
        raise BadRow(
            "The conversation does not end with the answer that the label is about.",
            "End with the assistant's turn.",
            code="no_answer",
        )
    return turns[:-1], turns[-1:]


def _messages(record: dict[str, Any]) -> list[Turn]:
    if "messages" not in record:
        raise BadRow("The question or the answer is missing.", f"Write it as {SHAPE}.", code="missing_field")
    return read_list(record["messages"], "messages")


def _label(record: dict[str, Any]) -> bool:
    name = "label" if "label" in record else "kto_tag"
    value = record.get(name)
    found = value if isinstance(value, bool) else None
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        found = LABELS.get(str(int(value) if value in (0, 1) else value).strip().lower())
    if found is None:
        what = (
            kind_of(value)
            if not isinstance(value, (str, int, float))
            else repr(excerpt(str(value), width=40))
        )
        raise BadRow(
            f"“{name}” is {what}, expected true (a good answer) or false (a bad one).",
            f'Write "{name}": true or "{name}": false; a label of another meaning needs another name.',
            code="bad_label",
        )
    return found
