"""Backup and restore by their commands, on SQLite and, where it is installed, on PostgreSQL."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests import postgres

ROOT = Path(__file__).resolve().parents[2]


def drill(tmp_path: Path, **environment: str) -> None:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("APEX_", "DATABASE_", "DJANGO_"))
    }
    given = kept | {"APEX_DATA_DIR": str(tmp_path / "data"), "APEX_GPUS": "0"} | environment
    command = [sys.executable, "-m", "tests.common.backup_drill", str(tmp_path / "backup")]
    done = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_was_backed_up_comes_back_and_what_is_damaged_does_not(tmp_path):
    drill(tmp_path)


def test_the_same_holds_on_postgresql(tmp_path):
    if not (postgres.find_programs() and shutil.which("pg_dump") and shutil.which("pg_restore")):
        pytest.skip("PostgreSQL and its programs are not installed")
    # Not below tmp_path, which another user may not enter: PostgreSQL does not run as root.
    with tempfile.TemporaryDirectory(prefix="apex-pg-") as folder, postgres.server(Path(folder)) as url:
        drill(tmp_path, DATABASE_URL=url)
