"""For processes of their own: transformers, PEFT and TRL imported without what they only look around for.

They import whatever is installed that they could use one day. On two cores that was 3 of 8 processor seconds before a
training took its first step: scikit-learn with SciPy for one kind of assisted generation, bitsandbytes with torch's
compiler for weights in 4 bits that are not there, and a list of all installed packages, made three times.
"""

import functools
import importlib.metadata
import sys

UNUSED = ("sklearn",)
FOUR_BITS = "bitsandbytes"


def leave_out_unused(*, needs_four_bits: bool = False) -> None:
    """Call it before the first of those imports. What is left out looks as if it was not installed.

    A module of None in `sys.modules` is Python's own way to say so
    (https://docs.python.org/3/reference/import.html#the-module-cache), to `find_spec` as well.
    """
    for name in UNUSED if needs_four_bits else (*UNUSED, FOUR_BITS):
        if name not in sys.modules:
            sys.modules[name] = None  # type: ignore[assignment]
    if not hasattr(importlib.metadata.packages_distributions, "cache_info"):
        importlib.metadata.packages_distributions = functools.cache(importlib.metadata.packages_distributions)
