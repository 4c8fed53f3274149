"""Faults drawn from a seed, over trainings of seconds and a real one: each ends as its undisturbed twin did.

Twenty faults, every kind that can be made here among them; with APEX_TEST_LONG=1 fifty. The whole of
`python -m bench chaos`, as a process of its own: it ends whatever descends from it.
"""

import json
import os
import subprocess
import sys
import time

import pytest

from tests.stack import ROOT

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(1500)]

FAULTS = 50 if os.environ.get("APEX_TEST_LONG") == "1" else 20
SEED = 15


def test_faults_of_every_kind_lose_double_stick_and_change_nothing():
    begun = time.monotonic()
    command = [sys.executable, "-m", "bench", "chaos", "--faults", str(FAULTS), "--seed", str(SEED), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1480, check=False)
    # Shown by pytest if the test fails: the schedule, what was done and when, and the verdict.
    print(done.stderr)
    print(f"{time.monotonic() - begun:.0f} s")
    found = {result["figure"]: result for result in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 0
    assert found["faults"]["value"] == FAULTS
    assert {name: found[name]["value"] for name in ("lost", "doubled", "stuck", "unequal")} == {
        "lost": 0, "doubled": 0, "stuck": 0, "unequal": 0,
    }  # fmt: skip
    assert found["resumes beyond step 0"]["value"] >= 0.5
