from django.core.management.base import BaseCommand

from base_models.services import register_builtin_models


class Command(BaseCommand):
    help = "Makes the catalogue agree with the base models that come with Apex."

    def handle(self, **options):
        for model in register_builtin_models():
            self.stdout.write(f"{model.name}: {model.parameters:,} parameters")
