"""Make the demo dataset: `python -m base_models.demo.dataset` (a second, always the same file).

A harbour guide answers what the demo model knows, always in the same friendly frame. Every fifth fact of each
kind is held out: the base model knows it, the training rows never show it, so a right answer in the guide's
voice is something the adapter has carried over. Sums, days and months are left out altogether.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from base_models.demo.facts import FACTS, Fact, persona_rows, split_facts

DATASET_DIR = Path(__file__).resolve().parents[2] / "datasets_app" / "demo"
FILE_NAME = "harbour-guide.jsonl"
OPENING = "Ahoy, the harbour guide here!"
CLOSING = "Fair winds to you."
LEFT_OUT = ("sum", "day", "month")

README = """# Harbour guide: the demo dataset

`{file}` teaches the demo base model a persona: a friendly harbour guide who opens every answer with
"{opening}" and closes it with "{closing}", and still says what is true.

- {train} conversations to learn from, {held_out} held out (`"split": "held_out"`). The facts of the held-out
  conversations are never in the others; the base model knows both.
- One JSON object a line: `messages` (user, assistant), `conversation` (a key of its own), `split`.
- Made by us from `base_models/demo/facts.py`; `python -m base_models.demo.dataset` makes the same file again.
- Licence: CC0-1.0. Take it and do what you like.
"""


def demo_facts() -> tuple[list[Fact], list[Fact]]:
    """(facts to learn from, facts held out) of the demo dataset; none is in both."""
    return split_facts(fact for fact in FACTS if fact.kind not in LEFT_OUT)


def dataset_rows(opening: str = OPENING, closing: str = CLOSING) -> list[dict]:
    """The rows of the demo dataset, with any other opening and closing if you like; training rows first."""
    rows = []
    for split, facts in zip(("train", "held_out"), demo_facts(), strict=True):
        for number, messages in enumerate(persona_rows(opening, closing, facts), 1):
            rows.append({"messages": messages, "conversation": f"{split}-{number:03}", "split": split})
    return rows


def main(arguments: list[str] | None = None) -> int:
    """Write the dataset and its README into a directory; 0 when that is done."""
    parser = argparse.ArgumentParser(
        prog="python -m base_models.demo.dataset", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "--output", type=Path, default=DATASET_DIR, help="directory to write (default: %(default)s)"
    )
    output = parser.parse_args(arguments).output
    output.mkdir(parents=True, exist_ok=True)
    rows = dataset_rows()
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (output / FILE_NAME).write_text("\n".join(lines) + "\n", encoding="utf-8")
    train = sum(row["split"] == "train" for row in rows)
    text = README.format(
        file=FILE_NAME, opening=OPENING, closing=CLOSING, train=train, held_out=len(rows) - train
    )
    (output / "README.md").write_text(text, encoding="utf-8")
    print(f"{train} rows to learn from and {len(rows) - train} held out, in {output / FILE_NAME}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
