"""Backup and restore by their commands, on SQLite and, where it is installed, on PostgreSQL."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import postgres

ROOT = Path(__file__).resolve().parents[2]
MAKE = """
from accounts.models import User
from apex.common import files
User.objects.create_user("first")
print(files.put_bytes(b"what was learned").sha256)
"""
CHANGE = """
from accounts.models import User
from django.db import connection
User.objects.all().delete()
User.objects.create_user("second")
connection.cursor().execute("CREATE TABLE of_a_newer_state (id integer)")
"""
LOOK = """
import json
from accounts.models import User
from django.conf import settings
from django.db import connection
print(json.dumps({
    "users": sorted(User.objects.values_list("username", flat=True)),
    "tables": [name for name in connection.introspection.table_names() if "newer" in name],
    "key": settings.SECRET_KEY,
}))
"""


class Site:
    """A data directory with its commands; nothing runs but them."""

    def __init__(self, data: Path, **environment: str):
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("APEX_", "DATABASE_"))
        }
        kept.pop("DJANGO_SETTINGS_MODULE", None)
        self.data = data
        self.environment = kept | {"APEX_DATA_DIR": str(data), "APEX_GPUS": "0"} | environment

    def manage(self, *words: object, code: int = 0) -> str:
        command = [sys.executable, "manage.py", *map(str, words)]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def shell(self, script: str) -> str:
        """What the script printed last."""
        return self.manage("shell", "-v0", "-c", script).strip().rpartition("\n")[2]

    def look(self) -> dict:
        return json.loads(self.shell(LOOK))


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request, tmp_path):
    if request.param == "sqlite":
        yield Site(tmp_path / "data")
        return
    if not (postgres.find_programs() and shutil.which("pg_dump") and shutil.which("pg_restore")):
        pytest.skip("PostgreSQL and its programs are not installed")
    (tmp_path / "pg").mkdir()
    with postgres.server(tmp_path / "pg") as url:
        yield Site(tmp_path / "data", DATABASE_URL=url)


@pytest.mark.timeout(600)
def test_what_was_backed_up_comes_back_whole_and_nothing_else(site, tmp_path):
    site.manage("migrate", "-v0")
    sha256 = site.shell(MAKE)
    before = site.look()
    folder = tmp_path / "backup"
    with open(site.data / "up.lock", "a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as while Apex runs
        assert "the database" in site.manage("backup", folder)
        assert "already runs" in site.manage("restore", folder, "--replace", code=1)
    assert folder.stat().st_mode & 0o077 == 0 and (folder / "keys/secret_key").stat().st_mode & 0o077 == 0
    assert "not empty" in site.manage("backup", folder, code=1)

    # Here again, over what came later
    site.shell(CHANGE)
    shutil.rmtree(site.data / "artifacts")
    (site.data / "secret_key").write_text("another")
    assert "--replace" in site.manage("restore", folder, code=1)
    site.manage("restore", folder, "--replace")
    assert site.look() == before == {"users": ["first"], "tables": [], "key": before["key"]}
    assert (site.data / "artifacts" / sha256[:2] / sha256).read_bytes() == b"what was learned"
    site.manage("migrate", "--check", "-v0")


@pytest.mark.timeout(600)
def test_a_damaged_or_unfinished_backup_is_told_before_anything_is_touched(tmp_path):
    site = Site(tmp_path / "data")
    site.manage("migrate", "-v0")
    sha256 = site.shell(MAKE)
    folder = tmp_path / "backup"
    site.manage("backup", folder, "--without-keys", "--without-models")
    assert not (folder / "keys").exists()
    assert "is whole" in site.manage("restore", folder, "--check")

    new = Site(tmp_path / "new")
    artifact = folder / "artifacts" / sha256[:2] / sha256
    artifact.write_bytes(b"what was  learned")
    assert "is damaged" in new.manage("restore", folder, code=1)
    artifact.unlink()
    assert "holds 0 files and should hold 1" in new.manage("restore", folder, code=1)
    artifact.write_bytes(b"what was learned")
    dump = folder / "database.sqlite3"
    content = dump.read_bytes()
    dump.write_bytes(content[:-1])
    assert "not what was written" in new.manage("restore", folder, code=1)
    assert not (new.data / "apex.sqlite3").exists()
    dump.write_bytes(content)
    new.manage("restore", folder)
    assert new.look()["users"] == ["first"]
    (folder / "manifest.json").unlink()
    assert "no finished backup" in new.manage("restore", folder, "--check", code=1)
