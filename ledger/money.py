"""Money as whole numbers: a nano is 10⁻⁹ US dollars, so that a token's price is one too and sums are exact.

Tables and sums hold nanos; people, forms and the API see `Decimal` dollars. Prices round up to a nano for each line.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

NANOS = 10**9
MILLION = 10**6
HOUR_MS = 3_600_000


def nanos_of(dollars: Decimal | float | int | str) -> int:
    """Dollars as nanos, up to the next one."""
    return int((Decimal(str(dollars)) * NANOS).to_integral_value(rounding=ROUND_CEILING))


def dollars_of(nanos: int) -> Decimal:
    return Decimal(nanos) / NANOS


def said(nanos: int) -> str:
    """As people read it: `$2.10`, and as many digits as it needs where it is less than a cent: `$0.00034`."""
    dollars = dollars_of(nanos)
    if nanos == 0 or abs(dollars) >= Decimal("0.01"):
        return f"${dollars:,.2f}"
    digits = -dollars.adjusted() + 1
    return f"${dollars:.{digits}f}".rstrip("0")


def _per_million(dollars) -> int | None:
    return None if dollars is None else nanos_of(dollars)


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """Nanos for a million tokens, and where that stands. Tokens from a cache cost `cached`, as others where it is None.

    `TokenPrice.per_million("0.15", "0.60", source="openai.com/pricing, 2026-11-01")` takes dollars.
    """

    input: int
    output: int
    cached: int | None = None
    source: str = ""

    @classmethod
    def per_million(cls, input, output, cached=None, *, source: str = "") -> TokenPrice:
        """From dollars for a million tokens."""
        return cls(nanos_of(input), nanos_of(output), _per_million(cached), source)

    def nanos(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> int:
        """`cached_tokens` are among `input_tokens`."""
        cached = min(cached_tokens, input_tokens)
        price = self.input if self.cached is None else self.cached
        cost = (input_tokens - cached) * self.input + cached * price + output_tokens * self.output
        return -(-cost // MILLION)


@dataclass(frozen=True, slots=True)
class HourPrice:
    """Nanos for an hour of one device, and where that stands."""

    hour: int
    source: str = ""

    @classmethod
    def per_hour(cls, dollars, *, source: str = "") -> HourPrice:
        return cls(nanos_of(dollars), source)

    def nanos(self, milliseconds: int) -> int:
        return -(-milliseconds * self.hour // HOUR_MS)


@dataclass(frozen=True, slots=True)
class Amount:
    """What something takes, or could take at most, in all that budgets count."""

    nanos: int = 0
    tokens: int = 0
    gpu_ms: int = 0

    @classmethod
    def of(cls, money: Decimal | float | int = 0, *, tokens: int = 0, gpu_seconds: float = 0) -> Amount:
        """From dollars, tokens and seconds of a GPU."""
        return cls(nanos_of(money), tokens, round(gpu_seconds * 1000))

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.nanos + other.nanos, self.tokens + other.tokens, self.gpu_ms + other.gpu_ms)

    def __bool__(self) -> bool:
        return bool(self.nanos or self.tokens or self.gpu_ms)
