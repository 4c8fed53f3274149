"""Words for a row, or a file, that no format fits, and for known shapes that nothing here can learn from."""

from difflib import get_close_matches
from typing import Any

from . import ROW_FORMATS
from .base import BadRow, excerpt
from .preference import ANSWERS

SHAPES = " or ".join(
    ROW_FORMATS[name].SHAPE for name in ("messages", "alpaca", "prompt-completion", "sharegpt")
)
TWO_SHAPES = '{"messages": […]} or {"prompt": "…", "completion": "…"}'
# Names that rows of the known formats are recognised by.
NAMES = (
    "messages", "conversations", "turns", "instruction", "output", "prompt", "completion", "question", "answer",
    "chosen", "rejected", "text",
)  # fmt: skip


def unknown_row(record: dict[str, Any], is_whole_file: bool = False) -> BadRow:
    """What was found and what to do; for a whole file the mend shows every shape, for a row two of them."""
    if refused := refused_shape(record):
        return refused
    names = quoted(list(record))
    mend = f"Write each example as {SHAPES}." if is_whole_file else f"Write it as {TWO_SHAPES}."
    if meant := _meant(record):
        mend = f"{meant} {mend}"
    found = f"Its names are {names}; no known shape has these." if names else "It is an empty object: {}."
    return BadRow(found, mend, code="unknown_format")


def _meant(record: dict[str, Any]) -> str:
    """A word about a name that nearly is one of NAMES."""
    for name in list(record)[:20]:
        close = get_close_matches(str(name)[:40].strip().lower(), NAMES, n=1, cutoff=0.8)
        if close and close[0] not in record:
            return f"“{excerpt(str(name), width=40)}” may be meant as “{close[0]}”: name it so."
    return ""


def refused_shape(record: dict[str, Any]) -> BadRow | None:
    """Why a row of a shape that is known elsewhere is of no use here, or None."""
    if "rejection_reason" in record:
        reason = excerpt(str(record["rejection_reason"]), width=60)
        return _refused(
            f"This sample was turned down when it was made ({reason}), so it is nothing to learn from.",
            "Bring train.jsonl of the same folder; or take out “rejection_reason” of those you want after all.",
        )
    if "prompt" in record and "completions" in record and "labels" in record:
        return _refused(
            "This is stepwise supervision: steps of an answer, each marked as right or wrong. It trains models "
            "that judge steps, which Apex does not.",
            'Bring whole answers: {"prompt": "…", "completion": "…"}, with "label" if some of them are bad.',
        )
    if alone := next((pair for pair in ANSWERS if (pair[0] in record) != (pair[1] in record)), None):
        here, missing = alone if alone[0] in record else alone[::-1]
        return BadRow(
            f"There is “{here}”, but no “{missing}” to compare it with.",
            f"Add “{missing}”; or, to learn from “{here}” alone, name it “completion”.",
            code="missing_field",
        )
    if "prompt" in record:
        return _refused(
            "This is a prompt without an answer (“prompt only”), as for training by reward; "
            "there is nothing to learn from.",
            'Add the answer you would want: {"prompt": "…", "completion": "…"}.',
        )
    return None


def _refused(problem: str, mend: str) -> BadRow:
    return BadRow(problem, mend, code="unsupported_format")


def quoted(names: list[str]) -> str:
    """At most ten names in quotation marks."""
    listed = ", ".join(f"“{excerpt(str(name), width=40)}”" for name in names[:10])
    return listed + (" …" if len(names) > 10 else "")
