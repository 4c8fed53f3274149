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
from .imports import imports_for_list, imports_under_way, report_of

__all__ = [
    "FORMAT_WORDS",
    "SORTS",
    "attach_latest",
    "datasets_for_list",
    "imports_for_list",
    "imports_under_way",
    "is_learned",
    "preview",
    "report_of",
    "rows_of",
    "totals",
    "versions_of",
]
