"""Page-shaped reads, a module for each page. Call them as `selectors.preview(...)`."""

from .catalogue import (
    FORMAT_WORDS,
    SORTS,
    attach_latest,
    datasets_for_list,
    is_learned,
    preview,
    rows_of,
    totals,
    versions_of,
)

__all__ = [
    "FORMAT_WORDS",
    "SORTS",
    "attach_latest",
    "datasets_for_list",
    "is_learned",
    "preview",
    "rows_of",
    "totals",
    "versions_of",
]
