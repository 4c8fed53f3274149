"""`python -m serving.exports.engine`: makes what standard input asks for, once."""

import contextlib
import logging
import os
import sys
from collections.abc import Callable

from apex.processes.child import die_with_parent
from rendering import BadModel
from serving.exports.engine import adapter_gguf, gguf, hub, merged, ollama
from serving.exports.engine.asked import Asked, ExportFailed, Made, Voice
from training.engine.errors import is_disk_error, is_memory_error

MAKERS: dict[str, Callable[[Asked, Voice], Made]] = {
    "merged": merged.make,
    "gguf": gguf.make,
    "adapter_gguf": adapter_gguf.make,
    "ollama": ollama.make,
    "hub": hub.make,
}
logger = logging.getLogger(__name__)


def main() -> int:
    die_with_parent(os.getppid())
    os.nice(5)  # what answers and trains goes first
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    # What a library prints must not stand among the events.
    voice = Voice(os.fdopen(os.dup(1), "w"), sys.stdin)
    with contextlib.redirect_stdout(sys.stderr):
        return run(Asked.read(sys.stdin.readline()), voice)


def run(asked: Asked, voice: Voice) -> int:
    try:
        made = MAKERS[asked.kind](asked, voice)
    except Exception as error:
        failed = explain(error)
        if failed.reason == "unexpected":
            logger.exception("%s could not be made", asked.kind)
        voice.say("failed", reason=failed.reason, message=failed.message[:1000], advice=failed.advice)
        return 1
    voice.say("made", file=str(made.file or ""), files=made.files, link=made.link)
    return 0


def explain(error: BaseException) -> ExportFailed:
    """What a person should read about `error`."""
    if isinstance(error, ExportFailed):
        return error
    if isinstance(error.__cause__, ExportFailed):
        return error.__cause__
    if is_disk_error(error):
        return ExportFailed(
            "disk_full",
            "The disk of this machine became full before all was written. Nothing of it was kept.",
            "Free some space below the data directory, or export the adapter alone, and try again.",
        )
    if is_memory_error(error):
        return ExportFailed(
            "out_of_memory",
            "The memory of this machine is not enough to hold the whole base model.",
            "Stop what else runs there, or export the adapter alone.",
        )
    if isinstance(error, BadModel | OSError):
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return ExportFailed("bad_model", f"The model could not be read or written: {first[:500]}")
    return ExportFailed(
        "unexpected", f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:500]}"
    )


if __name__ == "__main__":
    sys.exit(main())
