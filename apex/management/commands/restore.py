"""`manage.py restore FOLDER`: what `manage.py backup` wrote, checked first, while Apex stands still."""

from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apex.common import backups
from apex.processes import checks


class Command(BaseCommand):
    help = (
        "Bring a backup back. Apex must not run; a database that is here is only written over with --replace."
    )
    requires_system_checks = []  # there may be no database yet
    requires_migrations_checks = False

    def add_arguments(self, parser):
        parser.add_argument("folder", type=Path)
        parser.add_argument("--replace", action="store_true", help="write over the database that is here")
        parser.add_argument("--check", action="store_true", help="only look whether the backup is whole")

    def handle(self, *args, folder: Path, replace: bool, check: bool, **options):
        try:
            if check:
                made = backups.check(folder)
                self.stdout.write(f"{folder} is whole: of {made['made_at']}, {made['database']}.")
                return
            with checks.take_lock(Path(settings.DATA_DIR)):
                made = backups.restore(folder, replace=replace)
        except (backups.BackupFailed, checks.CannotStart) as problem:
            raise CommandError(str(problem)) from problem
        except OSError as problem:
            raise CommandError(str(checks.explain(problem, Path(settings.DATA_DIR)))) from problem
        self.stdout.write(
            f"The backup of {made['made_at']} is back. `manage.py up` brings its tables up to date."
        )
