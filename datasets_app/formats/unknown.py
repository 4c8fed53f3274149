"""Words for a row, or a file, that no format fits."""

from typing import Any

from . import ROW_FORMATS
from .base import BadRow, excerpt

SHAPES = " or ".join(
    ROW_FORMATS[name].SHAPE for name in ("messages", "alpaca", "prompt-completion", "sharegpt")
)
TWO_SHAPES = '{"messages": […]} or {"prompt": "…", "completion": "…"}'


def unknown_row(record: dict[str, Any], is_whole_file: bool = False) -> BadRow:
    """What was found and what to do; for a whole file the mend shows every shape, for a row two of them."""
    if "chosen" in record and "rejected" in record:
        return BadRow(
            "These are preferences (“chosen” and “rejected”): two answers, where one is needed.",
            "Keep the better answer: name it “completion”, beside “prompt”.",
        )
    if list(record) == ["text"]:
        return BadRow(
            "This is plain text, without a question and an answer.",
            'Write it as {"prompt": "…", "completion": "…"}.',
        )
    names = quoted(list(record)) or "nothing"
    mend = f"Write each example as {SHAPES}." if is_whole_file else f"Write it as {TWO_SHAPES}."
    return BadRow(f"Its names are {names}; no known shape has these.", mend)


def quoted(names: list[str]) -> str:
    """At most ten names in quotation marks."""
    listed = ", ".join(f"“{excerpt(str(name), width=40)}”" for name in names[:10])
    return listed + (" …" if len(names) > 10 else "")
