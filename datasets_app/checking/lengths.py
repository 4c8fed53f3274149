"""Rows that are longer than what many models read at once.

What fits a certain base model, to the token, is told on “What the model sees” and before a training; here no model
is known yet, so characters are counted, and only rows that are long for many of them are named.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from datasets_app.faults import WARNING, Fault

if TYPE_CHECKING:
    from datasets_app.scanning.lines import Columns

# The context of many small models. English has some four characters a token, most other languages fewer.
TOKENS = 8192
CHARACTERS_A_TOKEN = 4
CHARACTERS_MOST = TOKENS * CHARACTERS_A_TOKEN


class Lengths:
    """The check: a warning for each row of more than CHARACTERS_MOST characters (Unicode code points)."""

    def __init__(self) -> None:
        self.long: list[tuple[int, int]] = []  # line, characters

    def see(self, row: dict[str, Any], kind: str) -> Iterator[Fault]:
        if (characters := characters_of(row)) > CHARACTERS_MOST:
            self.long.append((row["line"], characters))
        yield from ()

    def see_many(self, columns: "Columns") -> None:
        import numpy as np

        total = columns.system.astype(np.int64) + columns.user + columns.assistant
        long = total > CHARACTERS_MOST
        self.long.extend(zip(columns.line[long].tolist(), total[long].tolist(), strict=True))

    def finish(self) -> Iterator[Fault]:
        for line, characters in sorted(self.long):
            yield Fault(
                line,
                f"It is {characters:,} characters long, some {characters // CHARACTERS_A_TOKEN:,} tokens; "
                f"many models read {TOKENS:,} at once.",
                "Split it, or choose a model with a longer context: what does not fit is cut off in training.",
                WARNING,
                "",
                "too_long",
            )

    def summary(self) -> dict[str, Any]:
        return {"too_long": len(self.long)} if self.long else {}


def characters_of(row: dict[str, Any]) -> int:
    """The characters that a model would read at once: of two answers to compare, those of the longer."""
    if isinstance(row.get("text"), str):
        return len(row["text"])
    sizes = {
        name: sum(
            len(message["content"])
            for message in row.get(name) or ()
            if isinstance(message.get("content"), str)
        )
        for name in ("messages", "prompt", "chosen", "rejected", "completion")
    }
    return sizes["messages"] + sizes["prompt"] + max(sizes["chosen"], sizes["rejected"]) + sizes["completion"]
