"""`python -m bench [SUBJECT …] [--json]`: run the measurements and print one line for each figure."""

import argparse
import importlib
import inspect
import sys
from pathlib import Path

from bench.figures import as_json, as_text

OPTIONS = ("faults", "seed")


def subjects() -> list[str]:
    """Return the names of all subjects: the files of this package that have a `measure()`."""
    files = Path(__file__).parent.glob("*.py")
    return sorted(file.stem for file in files if "\ndef measure(" in file.read_text())


def taken_by(name: str) -> set[str]:
    """Return which of the options the subject's `measure()` takes."""
    return set(inspect.signature(importlib.import_module(f"bench.{name}").measure).parameters) & set(OPTIONS)


def main(words: list[str] | None = None) -> int:
    """Run the chosen subjects in order; a subject that fails is told and makes the exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "subject", nargs="*", help=f"what to measure; all of {', '.join(subjects())} if left out"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--faults", type=int, help="how many faults to make (chaos)")
    parser.add_argument("--seed", type=int, help="what is drawn, is drawn from this (chaos)")
    options = parser.parse_args(words)
    if unknown := set(options.subject) - set(subjects()):
        parser.error(f"no subject {', '.join(sorted(unknown))}; there are {', '.join(subjects())}")
    asked = {name: value for name in OPTIONS if (value := getattr(options, name)) is not None}
    for name in options.subject:
        if useless := set(asked) - taken_by(name):
            parser.error(f"{name} does not take --{', --'.join(sorted(useless))}")
    show = as_json if options.json else as_text
    code = 0
    for name in options.subject or subjects():
        try:
            taken = {word: value for word, value in asked.items() if word in taken_by(name)}
            for result in importlib.import_module(f"bench.{name}").measure(**taken):
                print(show(result), flush=True)
        except Exception as error:  # one subject's failure must not hide the others' results
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
