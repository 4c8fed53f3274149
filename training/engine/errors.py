"""Reasons for which a training says no, in words that a person can act on."""

import errno

from rendering import BadModel

BAD_DATA, BAD_MODEL, BAD_CONFIG = "bad_data", "bad_model", "bad_config"
BAD_CHECKPOINT = "bad_checkpoint"
OUT_OF_MEMORY, DISK_FULL, NAN_LOSS, UNEXPECTED = "out_of_memory", "disk_full", "nan_loss", "unexpected"

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
MEMORY_WORDS = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")
DISK_WORDS = ("no space left on device", "disk quota exceeded")


class EngineError(Exception):
    """Training cannot go on. `reason` is one of the words above, `message` names the value, `advice` what helps."""

    def __init__(self, reason: str, message: str, advice: str = ""):
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.advice = advice


def explain(error: BaseException) -> EngineError:
    """What a person should read about `error`."""
    if isinstance(error, EngineError):
        return error
    if isinstance(error, BadModel):
        advice = "Choose a causal language model that is kept as safetensors and needs no code of its own."
        return EngineError(BAD_MODEL, str(error), advice)
    if is_memory_error(error):
        return EngineError(
            OUT_OF_MEMORY,
            f"The memory of this machine is not enough: {_first_line(error)}",
            "Lower the batch size or the longest example, choose a smaller base model, or free some memory.",
        )
    if is_disk_error(error):
        return disk_full(error)
    return EngineError(
        UNEXPECTED,
        f"Something unexpected happened: {type(error).__name__}: {_first_line(error)}",
        "The end of the log shows where. Trying again helps if the cause was passing.",
    )


def is_memory_error(error: BaseException) -> bool:
    """True for Python's, CUDA's and the CPU allocator's ways of saying that memory ran out."""
    return isinstance(error, MemoryError) or any(part in str(error).lower() for part in MEMORY_WORDS)


def is_disk_error(error: BaseException) -> bool:
    """True for the system's and the libraries' ways of saying that a disk, or somebody's share of it, is full."""
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        return True
    return any(part in str(error).lower() for part in DISK_WORDS)


def disk_full(error: BaseException, what: str = "something") -> EngineError:
    return EngineError(
        DISK_FULL,
        f"The disk is full: {what} could not be written ({_first_line(error)}).",
        "Free some space below the data directory, then let it go on.",
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:500]
