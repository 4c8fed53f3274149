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
from .erasing import Erasure, erasure_of
from .gold_stars import (
    StarFilter,
    gold_stars,
    name_of,
    raters_of_stars,
    turns_of,
)
from .imports import UNDER_WAY, imports_for_list, imports_to_show, report_of
from .reports import first_faults, report_csv, report_of_version
from .rows import is_learned, shown_row
from .sharing import (
    agreement,
    guest_queue,
    share_links_of,
)
from .versions import Member, family, made_words

__all__ = [
    "Erasure",
    "FORMAT_WORDS",
    "Member",
    "QueueFilter",
    "SORTS",
    "StarFilter",
    "UNDER_WAY",
    "agreement",
    "attach_latest",
    "datasets_for_list",
    "erasure_of",
    "family",
    "fault_codes",
    "first_faults",
    "gold_stars",
    "guest_queue",
    "imports_for_list",
    "imports_to_show",
    "inbox",
    "is_learned",
    "made_words",
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
    "share_links_of",
    "shown_row",
    "tags_of",
    "totals",
    "turns_of",
    "versions_of",
]
