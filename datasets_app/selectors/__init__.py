"""Page-shaped reads, a module for each page. Call them as `selectors.preview(...)`."""

from .catalogue import (
    FORMAT_WORDS,
    SORTS,
    attach_latest,
    datasets_for_list,
    preview,
    rows_of,
    rows_shown,
    totals,
    versions_of,
)
from .curation import (
    QueueFilter,
    fault_codes,
    inbox,
    number_in,
    queue,
    reviews_by,
    tags_of,
)
from .gold_stars import (
    StarFilter,
    gold_stars,
    name_of,
    raters_of_stars,
    turns_of,
)
from .imports import UNDER_WAY, imports_for_list, imports_to_show, report_of
from .reports import report_csv, report_of_version
from .rows import is_learned, shown_row
from .sharing import (
    agreement,
    guest_queue,
    share_links_of,
)

__all__ = [
    "FORMAT_WORDS",
    "SORTS",
    "UNDER_WAY",
    "QueueFilter",
    "StarFilter",
    "agreement",
    "attach_latest",
    "datasets_for_list",
    "fault_codes",
    "gold_stars",
    "guest_queue",
    "imports_for_list",
    "imports_to_show",
    "inbox",
    "is_learned",
    "name_of",
    "number_in",
    "preview",
    "queue",
    "raters_of_stars",
    "report_csv",
    "report_of",
    "report_of_version",
    "reviews_by",
    "rows_of",
    "rows_shown",
    "shown_row",
    "share_links_of",
    "tags_of",
    "totals",
    "turns_of",
    "versions_of",
]
