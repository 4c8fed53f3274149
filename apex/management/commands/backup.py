"""`manage.py backup FOLDER`: database, files and keys as a folder, also while Apex runs."""

from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from apex.common import backups
from apex.processes import checks


class Command(BaseCommand):
    help = "Write a backup into a new folder: the database, the files, the keys. Apex may run meanwhile."

    def add_arguments(self, parser):
        parser.add_argument("folder", type=Path)
        parser.add_argument("--without-keys", action="store_true", help="keep the keys apart, by yourself")
        parser.add_argument("--without-models", action="store_true", help="leave out downloaded base models")

    def handle(self, *args, folder: Path, without_keys: bool, without_models: bool, **options):
        try:
            made = backups.back_up(folder, with_keys=not without_keys, with_models=not without_models)
        except backups.BackupFailed as problem:
            raise CommandError(str(problem)) from problem
        except OSError as problem:
            raise CommandError(str(checks.explain(problem, folder))) from problem
        counted = ", ".join(f"{count} files of {name}" for name, count in made["files"].items())
        keys = ", ".join(made["keys"]) or "none"
        self.stdout.write(f"{folder}: the database ({made['database']}), {counted}; keys: {keys}.")
