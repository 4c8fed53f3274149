"""What must be in place before the site starts: tables, static files, base models, the first administrator.

Each step looks first and does nothing when there is nothing to do, so that a second start is quick. This is
the one module of the package that needs Django.
"""

import hashlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

ADMIN_NAME = "admin"


class NameTaken(RuntimeError):
    """There is no superuser, and someone without rights has the name that the first one would get."""


def prepare(say: Callable[[str], None]) -> None:
    """Do all steps in order, with one line to `say` for each that had something to do."""
    if migrate():
        say("The database is up to date.")
    if collect_static():
        say("Static files are collected.")
    register_base_models(say)
    announce_embedded_server()
    try:
        password = create_first_superuser()
    except NameTaken as error:
        say(str(error))
        return
    if password:
        say(
            f"First administrator: name {ADMIN_NAME}, password {password}\n"
            f"(shown this once; change it under Settings after logging in)"
        )


def migrate() -> bool:
    """Bring the database to the newest migrations. Returns whether there was anything to do."""
    executor = MigrationExecutor(connection)
    if not executor.migration_plan(executor.loader.graph.leaf_nodes()):
        return False
    call_command("migrate", interactive=False, verbosity=0)
    return True


def collect_static() -> bool:
    """Collect the static files if one has changed since the last time. Returns whether one had."""
    stamp = Path(settings.STATIC_ROOT).with_name("static-files.stamp")
    fingerprint = static_fingerprint()
    if stamp.exists() and stamp.read_text() == fingerprint and Path(settings.STATIC_ROOT).is_dir():
        return False
    call_command("collectstatic", interactive=False, clear=True, verbosity=0)
    stamp.write_text(fingerprint)
    return True


def static_fingerprint() -> str:
    """Return a digest over name, size and time of change of all static files, and the way they are stored."""
    digest = hashlib.sha256(repr(settings.STORAGES["staticfiles"]).encode())
    for finder in get_finders():
        for name, storage in finder.list(ignore_patterns=None):
            facts = os.stat(storage.path(name))
            digest.update(f"{name}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def register_base_models(say: Callable[[str], None]) -> None:
    """Put the base models that come with Apex into the catalogue.

    One whose files are damaged is told and left out: every other model still works.
    """
    from base_models.directory import UnusableModel
    from base_models.services import register_builtin_models

    try:
        register_builtin_models()
    except UnusableModel as error:
        say(f"The demo base model cannot be used: {error}")


def announce_embedded_server() -> None:
    """Make the process that comes with Apex known as a server of models, so that adapters can be put to work on it."""
    from serving.nodes import announce_embedded

    announce_embedded()


def create_first_superuser() -> str | None:
    """Create the superuser `admin` if there is no superuser at all.

    The password is `APEX_ADMIN_PASSWORD`, or a random one, which is returned so that it can be shown once.
    Returns None if nothing was created or the password was given. Raises `NameTaken`.
    """
    from accounts.models import User

    if User.objects.filter(is_superuser=True).exists():
        return None
    if User.objects.filter(username=ADMIN_NAME).exists():
        raise NameTaken(
            f"There is no superuser, and the name {ADMIN_NAME} belongs to someone else. "
            f"Make one: .venv/bin/python manage.py createsuperuser"
        )
    given = os.environ.get("APEX_ADMIN_PASSWORD", "")
    password = given or secrets.token_urlsafe(12)
    User.objects.create_superuser(username=ADMIN_NAME, email="", password=password)
    return None if given else password
