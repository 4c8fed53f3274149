"""A backup is a folder: the database, the files, the keys, and a manifest by which it is checked before it is used.

database.sqlite3 or database.dump     as SQLite's own copy, or by pg_dump in its custom format
artifacts/  models/  media/           files; each artifact's name is its sha256
keys/secret_key, keys/secret_keys     where the environment does not give them
manifest.json                         written last: without it the backup was not finished
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone

FORMAT = 1
MANIFEST = "manifest.json"
KEYS = ("secret_key", "secret_keys")
DUMPS = {"sqlite": "database.sqlite3", "postgresql": "database.dump"}


class BackupFailed(RuntimeError):
    """What is in the way, in a sentence for a person."""


def back_up(folder: Path, *, with_keys: bool = True, with_models: bool = True) -> dict[str, Any]:
    """Writes a backup into `folder`, which must be empty or missing; returns its manifest. Apex may run meanwhile.

    Files are copied before the database and again behind it, so that each row finds its bytes: what is deleted
    meanwhile is there from the first round, what is made meanwhile from the second.
    """
    if folder.exists() and any(folder.iterdir()):
        raise BackupFailed(f"{folder} is not empty; name a folder that is, or a new one.")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    names = [name for name in places() if with_models or name != "models"]
    for name in names:
        copy_new(places()[name], folder / name)
    dump = folder / DUMPS[engine()]
    dump_sqlite(dump) if engine() == "sqlite" else run_postgres(
        "pg_dump", "--format=custom", f"--file={dump}"
    )
    for name in names:
        copy_new(places()[name], folder / name)
    kept = keep_keys(folder / "keys") if with_keys else []
    manifest = {
        "format": FORMAT,
        "made_at": timezone.now().isoformat(),
        "database": engine(),
        "with_models": with_models,
        "keys": kept,
        "sha256": {path: digest(folder / path) for path in (dump.name, *(f"keys/{name}" for name in kept))},
        "files": {name: sum(1 for _path in files_in(folder / name)) for name in names},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1))
    return manifest


def check(folder: Path) -> dict[str, Any]:
    """The manifest of a backup that is whole. Raises BackupFailed with what is wrong."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError) as problem:
        raise BackupFailed(f"{folder} is no finished backup: {problem}") from problem
    if manifest.get("format") != FORMAT:
        raise BackupFailed(f"The backup has format {manifest.get('format')!r}; this Apex reads {FORMAT}.")
    for path, wanted in manifest["sha256"].items():
        if not (folder / path).is_file() or digest(folder / path) != wanted:
            raise BackupFailed(f"{folder / path} is missing or not what was written.")
    for path in files_in(folder / "artifacts"):
        if digest(path) != path.name:
            raise BackupFailed(f"{path} is damaged: its name is not its sha256.")
    for name, count in manifest["files"].items():
        if (found := sum(1 for _path in files_in(folder / name))) != count:
            raise BackupFailed(f"{folder / name} holds {found} files and should hold {count}.")
    return manifest


def restore(folder: Path, *, replace: bool = False) -> dict[str, Any]:
    """Brings a backup back into this Apex, which must not run; the caller holds its lock. Returns the manifest.

    A database with tables is only written over with `replace`. Files that are here already stay.
    """
    manifest = check(folder)
    if manifest["database"] != engine():
        raise BackupFailed(
            f"The backup is of {manifest['database']}; this Apex is set to {engine()}. Set DATABASE_URL accordingly."
        )
    if connection.introspection.table_names() and not replace:
        raise BackupFailed("There is a database here already. To write over it, say --replace.")
    for name in manifest["files"]:
        copy_new(folder / name, places()[name])
    dump = folder / DUMPS[engine()]
    if engine() == "sqlite":
        connection.close()
        restore_sqlite(dump)
    else:
        drop_tables()
        words = ("--no-owner", "--single-transaction", "--exit-on-error", f"--dbname={database_name()}")
        run_postgres("pg_restore", *words, str(dump))
    for name in manifest["keys"]:
        place = Path(settings.DATA_DIR) / name
        shutil.copyfile(folder / "keys" / name, place)
        place.chmod(0o600)
    return manifest


# --- files -------------------------------------------------------------------------------------------------------


def places() -> dict[str, Path]:
    """What is copied as it is: name in the backup → folder here. Storages that are elsewhere have their own backups."""
    found = {"models": Path(settings.DATA_DIR) / "models"}
    for name, alias in (("artifacts", "artifacts"), ("media", "default")):
        if location := settings.STORAGES[alias].get("OPTIONS", {}).get("location"):
            found[name] = Path(location)
    return found


def copy_new(source: Path, target: Path) -> None:
    """Files of `source` that `target` has not, or not in the same size and time. What goes meanwhile is left out."""
    for path in files_in(source):
        place = target / path.relative_to(source)
        try:
            facts = path.stat()
            if place.exists() and (place.stat().st_size, int(place.stat().st_mtime)) == (
                facts.st_size,
                int(facts.st_mtime),
            ):
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            aside = place.with_name(f".{place.name}.part")
            shutil.copy2(path, aside)
            aside.replace(place)
        except FileNotFoundError:
            if path.exists():
                raise


def files_in(folder: Path) -> Iterator[Path]:
    for root, _folders, names in os.walk(folder):
        yield from (Path(root) / name for name in names if not name.endswith(".part"))


def keep_keys(folder: Path) -> list[str]:
    """Copies the key files that are here; returns their names."""
    kept = [name for name in KEYS if (Path(settings.DATA_DIR) / name).is_file()]
    if kept:
        folder.mkdir(mode=0o700)
    for name in kept:
        shutil.copyfile(Path(settings.DATA_DIR) / name, folder / name)
        (folder / name).chmod(0o600)
    return kept


def digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- databases ---------------------------------------------------------------------------------------------------


def engine() -> str:
    return connection.vendor


def dump_sqlite(target: Path) -> None:
    """One moment of the database, also while others write."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM INTO %s", [str(target)])


def restore_sqlite(dump: Path) -> None:
    place = Path(settings.DATABASES["default"]["NAME"])
    with sqlite3.connect(dump) as copy:
        if (found := copy.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
            raise BackupFailed(f"{dump} is damaged: {found}")
    aside = place.with_name(f"{place.name}.restored")
    shutil.copyfile(dump, aside)
    for rest in ("-wal", "-shm"):  # of the database before; they would be applied to the new one
        place.with_name(place.name + rest).unlink(missing_ok=True)
    aside.replace(place)


# Not those of extensions, which are not ours.
FUNCTIONS = """
SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = current_schema()
AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
"""


def drop_tables() -> None:
    """All of them and all functions, so that none of a newer state is left beside those that come back."""
    with connection.cursor() as cursor:
        for name in connection.introspection.table_names(cursor):
            cursor.execute(f"DROP TABLE IF EXISTS {connection.ops.quote_name(name)} CASCADE")
        cursor.execute(FUNCTIONS)
        for (function,) in cursor.fetchall():
            cursor.execute(f"DROP FUNCTION {function} CASCADE")
    connection.close()


def database_name() -> str:
    return str(connection.settings_dict["NAME"])


def run_postgres(program: str, *words: str) -> None:
    """Runs one of PostgreSQL's programs on our database; the password goes by the environment, where nobody sees it."""
    facts = connection.settings_dict
    given = {
        "PGHOST": "HOST",
        "PGPORT": "PORT",
        "PGUSER": "USER",
        "PGPASSWORD": "PASSWORD",
        "PGDATABASE": "NAME",
    }
    environment = os.environ | {name: str(facts[key]) for name, key in given.items() if facts.get(key)}
    try:
        done = subprocess.run([program, *words], env=environment, capture_output=True, text=True)
    except FileNotFoundError as problem:
        raise BackupFailed(
            f"{program} is not installed; Debian, Ubuntu: apt install postgresql-client"
        ) from problem
    if done.returncode != 0:
        raise BackupFailed(f"{program} stopped: {done.stderr.strip()[-1000:]}")
