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
from .curation import (
    QueueFilter,
    fault_codes,
    inbox,
    queue,
    reviews_by,
    tags_of,
)
from .gold_stars import (
    StarFilter,
    gold_stars,
    name_of,
)
from .imports import UNDER_WAY, imports_for_list, imports_under_way, report_of
from .reports import report_csv, report_of_version
from .sharing import (
    agreement,
    share_links_of,
)

__all__ = [
    "FORMAT_WORDS",
    "QueueFilter",
    "SORTS",
    "UNDER_WAY",
    "StarFilter",
    "agreement",
    "attach_latest",
    "datasets_for_list",
    "gold_stars",
    "imports_for_list",
    "imports_under_way",
    "inbox",
    "fault_codes",
    "is_learned",
    "tags_of",
    "name_of",
    "preview",
    "queue",
    "report_csv",
    "report_of",
    "report_of_version",
    "reviews_by",
    "rows_of",
    "share_links_of",
    "totals",
    "versions_of",
]
