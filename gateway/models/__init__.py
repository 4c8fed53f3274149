"""What the OpenAI-compatible surface keeps of its own."""

from .aliases import ModelAlias
from .batches import BATCH_MOVES, BATCH_UNFINISHED, Batch, BatchAnswer, BatchStatus
from .files import ApiFile, FilePurpose
from .tuning import TUNE_MOVES, BroughtJob, FineTune, TuneStatus

__all__ = [
    "BATCH_MOVES",
    "BATCH_UNFINISHED",
    "TUNE_MOVES",
    "ApiFile",
    "Batch",
    "BatchAnswer",
    "BatchStatus",
    "BroughtJob",
    "FilePurpose",
    "FineTune",
    "ModelAlias",
    "TuneStatus",
]
