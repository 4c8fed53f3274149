"""`python -m knowledge.parsing.child SOURCE TARGET NAME [KIND]`: reads one document, in a process of its own.

Hostile files are read here and nowhere else: an end to memory, processor time and what can be written; no core
dumps, first in line for the kernel's OOM killer. What was read is written to TARGET as JSON (`texts` has the shape);
a refusal is `{"problem", "advice"}` there.
"""

import contextlib
import dataclasses
import json
import os
import resource
import sys
from pathlib import Path

from .base import Refused
from .parsers import parse

ADDRESS_SPACE = 4 * 1024**3  # bytes; who watches looks at the memory that is really used
PROCESSOR_SECONDS = 600
WRITTEN_BYTES = 200 * 1024 * 1024


def limit_this_process() -> None:
    os.nice(5)
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, ADDRESS_SPACE),
        (resource.RLIMIT_CPU, PROCESSOR_SECONDS),
        (resource.RLIMIT_FSIZE, WRITTEN_BYTES),
    ):
        resource.setrlimit(limit, (value, value))
    with contextlib.suppress(OSError):  # not every system lets one say so
        Path("/proc/self/oom_score_adj").write_text("900")


def main() -> None:
    source, target, name, *hint = sys.argv[1:]
    limit_this_process()
    try:
        found = dataclasses.asdict(parse(Path(source), name, hint[0] if hint else ""))
    except Refused as problem:
        found = {"problem": problem.problem, "advice": problem.advice}
    except (MemoryError, RecursionError):
        found = {
            "problem": "Reading it takes more memory than is given.",
            "advice": "Split it into smaller documents.",
        }
    Path(target).write_text(json.dumps(found, ensure_ascii=False))


if __name__ == "__main__":
    main()
