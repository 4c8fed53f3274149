"""`manage.py rotate_secrets` seals every stored credential with the newest key, so that an older one can go."""

from django.apps import apps
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apex.common import secrets
from apex.common.secrets import Context, SecretError

# Whoever read the keys before a new one came may still seal with the old one: those rows are found the next time round.
ROUNDS = 5


class Command(BaseCommand):
    help = (
        "Seals every stored credential anew with the newest key, while the site runs. With keys in a file: --new-key "
        "puts a new one in front, --forget-old takes the others away once nothing needs them. With APEX_SECRET_KEYS: "
        "put the new key in front of the old one, restart, run this, then take the old one away."
    )

    def add_arguments(self, parser):
        parser.add_argument("--new-key", action="store_true", help="make a new key first")
        parser.add_argument("--forget-old", action="store_true", help="take the older keys away at the end")

    def handle(self, *args, new_key: bool, forget_old: bool, **options):
        if (new_key or forget_old) and settings.SECRET_KEYS.strip():
            raise CommandError("The keys are those of APEX_SECRET_KEYS: change them there, and restart.")
        if new_key:
            secrets.add_key()
        done = 0
        for _round in range(ROUNDS):
            sealed, failed = seal_all()
            done += sealed
            if not sealed:
                break
        self.stdout.write(f"{done} sealed anew.")
        if failed:
            raise CommandError("These could not be opened and stay as they are:\n" + "\n".join(failed))
        if forget_old:
            self.stdout.write(f"{secrets.forget_old_keys()} older keys taken away.")


def seal_all() -> tuple[int, list[str]]:
    """How many were sealed anew, and what could not be opened, in sentences."""
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
    return done, failed
