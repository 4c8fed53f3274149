"""A process of its own leaves out what it never uses, and nothing that it may need."""

import gc
import subprocess
import sys

import pytest

from rendering.light_imports import uncollected

SCRIPT = """
import sys
from rendering.light_imports import leave_out_unused
leave_out_unused(needs_four_bits={needs_four_bits})
import transformers, peft
from transformers.utils import is_bitsandbytes_available, is_sklearn_available
from peft.import_utils import is_bnb_4bit_available
from importlib.metadata import packages_distributions
import transformers.generation.candidate_generator
assert packages_distributions() is packages_distributions() and "torch" in packages_distributions()
assert not is_sklearn_available() and sys.modules["sklearn"] is None
assert is_bnb_4bit_available() is {needs_four_bits}, is_bnb_4bit_available()
"""


@pytest.mark.parametrize("needs_four_bits", [False, True])
def test_what_is_left_out_looks_as_if_it_were_not_installed(needs_four_bits):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(needs_four_bits=needs_four_bits)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_the_collector_rests_while_much_is_imported_and_then_leaves_it_alone(monkeypatch):
    frozen = gc.get_freeze_count()
    try:
        with pytest.raises(ImportError), uncollected():
            assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled() and gc.get_freeze_count() == frozen
        with uncollected():
            monkeypatch.setitem(sys.modules, "something.new", gc)
        assert gc.isenabled() and gc.get_freeze_count() > frozen
    finally:
        gc.unfreeze()
