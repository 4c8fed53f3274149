"""`manage.py add_base_model PATH_OR_HUB_ID [--name NAME] [--revision REVISION]`"""

from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from base_models import services
from base_models.directory import UnusableModel


class Command(BaseCommand):
    help = "Adds a base model: a directory on this machine, or an id on the model hub."

    def add_arguments(self, parser):
        parser.add_argument("location", help="a directory, or organisation/model")
        parser.add_argument("--name", default="", help="as programs call it")
        parser.add_argument("--revision", default="main", help="branch, tag or commit on the hub")

    def handle(self, *, location, name, revision, **options):
        try:
            if Path(location).expanduser().is_dir():
                model = services.add_directory(path=Path(location), name=name)
                self.stdout.write(f"{model.name}: {model.parameters:,} parameters, ready.")
            else:
                model = services.add_from_hub(hub_id=location, revision=revision, name=name)
                self.stdout.write(
                    f"{model.name}: a worker downloads it; the Models page shows when it is here."
                )
        except (UnusableModel, services.AddRefused) as problem:
            raise CommandError(str(problem)) from problem
