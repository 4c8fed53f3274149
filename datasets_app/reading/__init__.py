"""From bytes to rows, faults and a verdict: the same code behind the page, the API and the command."""

from .reading import ROWS_MOST, Reading, check_file, read_examples
from .report import ACCEPT, LISTED_MOST, REJECT, WARN, Report
from .running import FAULTS_KEPT, Running

__all__ = [
    "ACCEPT",
    "FAULTS_KEPT",
    "LISTED_MOST",
    "REJECT",
    "ROWS_MOST",
    "WARN",
    "Reading",
    "Report",
    "Running",
    "check_file",
    "read_examples",
]
