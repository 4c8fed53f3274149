"""What is looked for across rows and inside their texts: one module a check, named in one dict. No Django inside."""

from collections.abc import Callable

from .base import Check
from .contamination import Contamination
from .damage import Damage
from .duplicates import Duplicates
from .languages import Languages
from .lengths import Lengths
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
