"""The ledger: lines a second, and reservations that are made and settled, alone and by many at once.

On SQLite as Apex sets it up, and on PostgreSQL where it is installed, each in a process of its own with a fresh
database. The peer is the plain way with Django's models: `bulk_create` for lines; for a reservation a transaction that
locks the counter's row, reads it, and saves it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.figures import figure
from tests import postgres

ROOT = Path(__file__).resolve().parents[1]
PEER = "Django's models, the plain way"


def measure() -> Iterator[dict]:
    """All figures. Raises AssertionError where a counter and the sum of its lines differ, or a budget was exceeded."""
    yield from figures("SQLite", None)
    if postgres.find_programs():
        with (
            tempfile.TemporaryDirectory(prefix="apex-bench-pg-") as folder,
            postgres.server(Path(folder)) as url,
        ):
            yield from figures("PostgreSQL", url)


def figures(name: str, url: str | None) -> Iterator[dict]:
    found = run(url)
    yield figure(f"lines in batches of 500, {name}", found["lines"], "/s", PEER, found["lines_peer"])
    yield figure(
        f"reserve and settle, one at a time, {name}", found["pairs"], "/s", PEER, found["pairs_peer"]
    )
    for many in (8, 100):
        yield figure(
            f"reserve and settle, {many} threads on one budget, {name}", found[f"pairs_{many}"], "/s", PEER,
            found[f"pairs_{many}_peer"],
        )  # fmt: skip
    yield figure(f"reserve without a budget, {name}", found["without"], "/s", "with one", found["reserves"])


def run(url: str | None) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="apex-bench-") as folder:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("APEX_")}
        environment |= {
            "APEX_DATA_DIR": folder,
            "APEX_GPUS": "0",
            "DJANGO_SETTINGS_MODULE": "apex.settings.active",
        }
        environment.pop("DATABASE_URL", None)
        if url:
            environment["DATABASE_URL"] = url
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=environment, check=True,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "bench.ledger_work"], cwd=ROOT, env=environment, capture_output=True, text=True,
            timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])
