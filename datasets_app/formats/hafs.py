"""hafs: the samples of a generating campaign, alpaca with the thirteen fields of their `TrainingSample`.

`{"instruction", "input", "output", "domain", "source", "sample_id", "quality_score", "embedding", "teacher_model",
"teacher_prompt", "timestamp", "kg_entities", "kg_validated"}`. Their `train.jsonl` is plain alpaca, or messages.
"""

from typing import Any

from . import alpaca
from .base import CHAT, Example

NAME = "hafs"
KIND = CHAT
SHAPE = '{"instruction": "…", "input": "…", "output": "…", "domain": "…", "quality_score": 0.9}'

MARKS = {
    "domain",
    "quality_score",
    "teacher_model",
    "teacher_prompt",
    "kg_entities",
    "kg_validated",
    "sample_id",
}


def fits(record: dict[str, Any]) -> bool:
    """Whether an alpaca record carries what only such a campaign writes."""
    return alpaca.fits(record) and "output" in record and len(MARKS & record.keys()) >= 3


def to_examples(record: dict[str, Any], key: str | None = None) -> list[Example]:
    """The record as an example; raises BadRow. Scores decide nothing: what was accepted there is taken."""
    return alpaca.to_examples(record, key)
