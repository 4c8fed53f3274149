"""What is looked for across rows and inside their texts: one module a check, named in one dict. No Django inside."""

from collections.abc import Callable

from .base import Check
from .contamination import Contamination
from .damage import Damage
from .duplicates import Duplicates
from .languages import Languages
from .lengths import Lengths
from .near_duplicates import NearDuplicates
from .privacy import Privacy
from .profile import Profile

# name → what makes the check for one file. All of these run by default.
CHECKS: dict[str, Callable[[], Check]] = {
    "profile": Profile,
    "duplicates": Duplicates,
    "privacy": Privacy,
    "contamination": Contamination,
    "damage": Damage,
    "lengths": Lengths,
    "languages": Languages,
}

# With the one that takes longer.
ALL_CHECKS: dict[str, Callable[[], Check]] = {**CHECKS, "near_duplicates": NearDuplicates}
# Up to this size nearly equal rows are looked for without being asked: some seconds' work at most.
NEAR_BYTES_MOST = 16_000_000
PACKED_ENDINGS, PACKED = (".gz", ".parquet"), 8  # and how much more they hold than their size says


def checks_for(size: int | None, name: str = "") -> dict[str, Callable[[], Check]]:
    """The checks of a file of so many bytes (None: nobody knows)."""
    if size is not None and name.lower().endswith(PACKED_ENDINGS):
        size *= PACKED
    if size is None or size > NEAR_BYTES_MOST:
        return CHECKS
    return ALL_CHECKS
