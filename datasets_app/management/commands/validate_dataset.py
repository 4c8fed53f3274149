"""`validate_dataset` for whoever calls it from within Django; `manage.py` takes a shorter way to the same code."""

from django.core.management.base import BaseCommand

from datasets_app.reading import command


class Command(BaseCommand):
    help = "Checks files of examples and says what is wrong, line by line. Ends with 0 whatever the verdict."
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser):
        command.add_arguments(parser)

    def handle(self, *args, files, format, json, near_duplicates, **options):
        command.run(
            files=files, format=format, json=json, near_duplicates=near_duplicates, write=self.stdout.write
        )
