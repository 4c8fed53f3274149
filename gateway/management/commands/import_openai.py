"""`manage.py import_openai DIRECTORY --user NAME`: an old account at OpenAI, brought here from its export."""

from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from gateway.bringing import Bringing


class Command(BaseCommand):
    help = (
        "Brings files and fine-tuning jobs of OpenAI's API from a directory: *.jsonl become datasets, and the settings "
        "of the jobs in fine_tuning_jobs.json or jobs.json become plans, ready to be started. Run twice, it brings "
        "nothing twice."
    )

    def add_arguments(self, parser):
        parser.add_argument("directory", type=Path, help="with *.jsonl, files.json and fine_tuning_jobs.json")
        parser.add_argument("--user", required=True, help="whose they will be")
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")

    def handle(self, *args, directory, user, dry_run, **options):
        owner = User.objects.filter(username=user).first()
        if owner is None:
            raise CommandError(f"There is no user {user!r}.")
        if not directory.is_dir():
            raise CommandError(f"{directory} is no directory.")
        bringing = Bringing(owner, directory, is_dry=dry_run, say=self.stdout.write)
        bringing.bring()
        self.stdout.write(bringing.summary())
