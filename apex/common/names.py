"""Names that are free."""

from collections.abc import Container
from itertools import count


def free_name(wanted: str, taken: Container[str], *, joint: str = " ") -> str:
    """`wanted`, or the first of `wanted 2`, `wanted 3`, … that is not `taken`; `joint` stands before the number."""
    if wanted not in taken:
        return wanted
    return next(name for number in count(2) if (name := f"{wanted}{joint}{number}") not in taken)
