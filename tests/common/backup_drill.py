"""One backup and its restore, in a process of its own with a data directory of its own: `python -m … FOLDER`.

APEX_DATA_DIR and DATABASE_URL say where. Ends with 0 when all held; one process, since starting Django takes longest.
"""

import fcntl
import io
import os
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path


def main(folder: Path) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "apex.settings.active")
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import CommandError, call_command
    from django.db import connection

    from accounts.models import User
    from apex.common import files

    def say(*words) -> str:
        out = io.StringIO()
        call_command(*map(str, words), stdout=out)
        return out.getvalue()

    @contextmanager
    def refused(words: str):
        try:
            yield
        except CommandError as problem:
            assert words in str(problem), problem
        else:
            raise AssertionError(f"not refused: {words}")

    data = Path(settings.DATA_DIR)
    say("migrate", "-v0")
    User.objects.create_user("first")
    sha256 = files.put_bytes(b"what was learned").sha256
    (data / "secret_key").write_text("the first key")

    # 1. While Apex runs (it holds the lock): a backup is made, and nothing is brought back
    with open(data / "up.lock", "a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "1 files of artifacts" in say("backup", folder)
        with refused("already runs"):
            say("restore", folder, "--replace")
    assert folder.stat().st_mode & 0o077 == 0 and (folder / "keys/secret_key").stat().st_mode & 0o077 == 0
    with refused("not empty"):
        say("backup", folder)

    # 2. What is damaged or unfinished is told before anything is touched
    User.objects.all().delete()
    User.objects.create_user("second")
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE of_a_newer_state (id integer)")
    shutil.rmtree(data / "artifacts")
    (data / "secret_key").write_text("another")
    artifact = folder / "artifacts" / sha256[:2] / sha256
    dump = next(folder.glob("database.*"))
    for path, broken, words in (
        (artifact, b"what was  learned", "is damaged"),
        (artifact, None, "holds 0 files and should hold 1"),
        (dump, b"nonsense", "not what was written"),
        (folder / "manifest.json", None, "no finished backup"),
    ):
        whole = path.read_bytes()
        path.unlink() if broken is None else path.write_bytes(broken)
        with refused(words):
            say("restore", folder, "--replace")
        path.write_bytes(whole)
    assert "is whole" in say("restore", folder, "--check")
    with refused("--replace"):
        say("restore", folder)
    assert [user.username for user in User.objects.all()] == ["second"]

    # 3. Back as it was, and nothing of what came later
    say("restore", folder, "--replace")
    assert [user.username for user in User.objects.all()] == ["first"]
    assert "of_a_newer_state" not in connection.introspection.table_names()
    assert files.storage().open(files.storage_name(sha256)).read() == b"what was learned"
    assert (data / "secret_key").read_text() == "the first key"
    say("migrate", "--check", "-v0")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
