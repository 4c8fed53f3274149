"""The one ledger: what was used and what it cost; how much may be used; what is held for what runs."""

from .budgets import Budget, Counter, Measure, Period, Reservation, Scope, measured, period_start, public
from .house import MinuteLimits, ServingPrice
from .lines import SPREAD, STEPS, Kind, Outcome, UsageDay, UsageLine, an_id

__all__ = [
    "SPREAD", "STEPS", "Budget", "Counter", "Kind", "Measure", "MinuteLimits", "Outcome", "Period", "Reservation",
    "Scope", "ServingPrice", "UsageDay", "UsageLine", "an_id", "measured", "period_start", "public",
]  # fmt: skip
