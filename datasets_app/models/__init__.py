"""Datasets and their versions, how they came in, and what people think of their rows."""

from .bringing import IMPORT_MOVES, DatasetImport, ImportSource, ImportStatus
from .curation import Review, ReviewSource, ReviewVerdict, ShareLink
from .datasets import Dataset, DatasetVersion, Kind, MadeBy, Verdict
from .references import Connection, ConnectionKind, Reference

__all__ = [
    "IMPORT_MOVES",
    "Connection",
    "ConnectionKind",
    "Dataset",
    "DatasetImport",
    "DatasetVersion",
    "ImportSource",
    "ImportStatus",
    "Kind",
    "MadeBy",
    "Reference",
    "Review",
    "ReviewSource",
    "ReviewVerdict",
    "ShareLink",
    "Verdict",
]
