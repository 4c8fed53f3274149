"""`manage.py rotate_secrets` seals every stored credential with the newest key, so that an older one can go."""

from django.apps import apps
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apex.common import secrets
from apex.common.secrets import Context, SecretError


class Command(BaseCommand):
    help = (
        "Seals every stored credential anew with the first of APEX_SECRET_KEYS. Put the new key in front of the "
        "old one, restart, run this, then take the old one away. Running it twice does no harm."
    )

    def handle(self, *args, **options):
        done, failed = 0, []
        for label, field in settings.SEALED_FIELDS:
            model = apps.get_model(label)
            for row in model._base_manager.exclude(**{field: ""}).iterator():
                sealed = getattr(row, field)
                if secrets.is_current(sealed):
                    continue
                context = Context.of(row, field)
                try:
                    anew = secrets.seal(secrets.open_secret(sealed, context), context)
                except SecretError as problem:
                    failed.append(str(problem))
                    continue
                # Only over what was read: somebody may have entered new credentials meanwhile.
                done += model._base_manager.filter(pk=row.pk, **{field: sealed}).update(**{field: anew})
        self.stdout.write(f"{done} sealed anew.")
        if failed:
            raise CommandError("These could not be opened and stay as they are:\n" + "\n".join(failed))
