"""For processes of their own: transformers, PEFT and TRL imported without what they only look around for.

They import whatever is installed that they could use one day. On two cores that was 3 of 8 processor seconds before a
training took its first step: scikit-learn with SciPy for one kind of assisted generation, bitsandbytes with torch's
compiler for weights in 4 bits that are not there, a list of all installed packages, made three times, and a client for
a cloud's stores. Another went to Python's collector, which looks through all that is imported again and again.
"""

import functools
import gc
import importlib.metadata
import sys
from collections.abc import Iterator
from contextlib import contextmanager

UNUSED = ("sklearn", "boto3")
FOUR_BITS = ("bitsandbytes", "scipy")


def leave_out_unused(*, needs_four_bits: bool = False) -> None:
    """Call it before the first of those imports. What is left out looks as if it was not installed.

    A module of None in `sys.modules` is Python's own way to say so
    (https://docs.python.org/3/reference/import.html#the-module-cache), to `find_spec` as well.
    """
    for name in UNUSED if needs_four_bits else (*UNUSED, *FOUR_BITS):
        if name not in sys.modules:
            sys.modules[name] = None  # type: ignore[assignment]
    if not hasattr(importlib.metadata.packages_distributions, "cache_info"):
        importlib.metadata.packages_distributions = functools.cache(importlib.metadata.packages_distributions)


@contextmanager
def uncollected() -> Iterator[None]:
    """Put it around large imports: meanwhile Python's collector rests, and what is there afterwards it leaves alone.

    Modules, classes and functions stay for as long as the process does: looking through them frees nothing. Where
    nothing is left to import, nothing else is set aside.
    """
    before = len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > before:
            gc.freeze()
        gc.enable()
