"""How rows of each known format become chat examples: one module a format, recognised by what is in a row.

A module of a row format has NAME, SHAPE (one row, for messages), `fits(record)` and `to_examples(record, key)`.
CSV and plain text have no records with names of their own, so the reader uses `two_columns` and `dialogue`
directly.
"""

from types import ModuleType
from typing import Any

from . import alpaca, brightrun, chat, dialogue, prompt_completion, sharegpt, two_columns

# In the order in which they are asked: the narrower shape first.
ROW_FORMATS: dict[str, ModuleType] = {
    brightrun.NAME: brightrun,
    chat.NAME: chat,
    sharegpt.NAME: sharegpt,
    alpaca.NAME: alpaca,
    prompt_completion.NAME: prompt_completion,
}

FORMATS: dict[str, ModuleType] = {**ROW_FORMATS, two_columns.NAME: two_columns, dialogue.NAME: dialogue}


def recognise(record: dict[str, Any]) -> ModuleType | None:
    """The format whose shape the record has, or None."""
    return next((module for module in ROW_FORMATS.values() if module.fits(record)), None)
