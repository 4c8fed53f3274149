"""How rows of each known format become examples: one module a format, recognised by what is in a row.

A module of a row format has NAME, KIND (of docs/architecture.md, "Rows"), SHAPE (one row, for messages),
`fits(record)` and `to_examples(record, key)`. Typed dialogue has no records with names of their own, so the plain
text reader uses `dialogue` directly.
"""

from types import ModuleType
from typing import Any

from . import (
    alpaca,
    brightrun,
    chat,
    chatml,
    dialogue,
    hafs,
    openai_preference,
    preference,
    preference_implicit,
    prompt_completion,
    ranking,
    sharegpt,
    text,
    turns,
    unpaired,
)

# In the order in which they are asked: the narrower shape first.
ROW_FORMATS: dict[str, ModuleType] = {
    brightrun.NAME: brightrun,
    openai_preference.NAME: openai_preference,
    preference.NAME: preference,
    preference_implicit.NAME: preference_implicit,
    ranking.NAME: ranking,
    unpaired.NAME: unpaired,
    sharegpt.NAME: sharegpt,
    chat.NAME: chat,
    turns.NAME: turns,
    hafs.NAME: hafs,
    alpaca.NAME: alpaca,
    prompt_completion.NAME: prompt_completion,
    chatml.NAME: chatml,
    text.NAME: text,
}

FORMATS: dict[str, ModuleType] = {**ROW_FORMATS, dialogue.NAME: dialogue}


def recognise(record: dict[str, Any]) -> ModuleType | None:
    """The format whose shape the record has, or None."""
    return next((module for module in ROW_FORMATS.values() if module.fits(record)), None)
