"""`manage.py create_token USERNAME` prints a new API token and nothing else, so that a script can take it."""

from datetime import timedelta

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.models import User
from accounts.services import ALL_SCOPES, BadToken, create_token


class Command(BaseCommand):
    help = "Makes an API token for a user and prints it, and nothing else. It cannot be shown again."

    def add_arguments(self, parser):
        parser.add_argument("username")
        parser.add_argument("--name", default="command line", help="what the token is for")
        parser.add_argument(
            "--scopes",
            nargs="+",
            default=list(ALL_SCOPES),
            help=f"out of: {', '.join(ALL_SCOPES)} (default: all)",
        )

        parser.add_argument(
            "--models", nargs="+", default=[], help="ids of models that it may ask (default: all)"
        )
        parser.add_argument(
            "--a-minute", type=int, help="how many questions (default: as many as its user may)"
        )
        parser.add_argument("--days", type=float, help="how long it is good for (default: until it is ended)")

    def handle(self, *args, **options):
        try:
            user = User.objects.get(username=options["username"], is_active=True)
        except User.DoesNotExist as problem:
            raise CommandError(f"There is no active user named {options['username']!r}.") from problem
        try:
            _, text = create_token(
                user=user,
                name=options["name"],
                scopes=options["scopes"],
                model_names=options["models"],
                requests_per_minute=options["a_minute"],
                expires_at=timezone.now() + timedelta(days=options["days"]) if options["days"] else None,
            )
        except BadToken as problem:
            raise CommandError(str(problem)) from problem
        self.stdout.write(text)
