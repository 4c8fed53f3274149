"""`python -m tests.clerk`: runs commands of `manage.py` one after the other, while its standard input is open.

A line in is the words of a command, `["create_token", "alice"]`; a line out is `{"said": …, "problem": …}`, what it
printed and, if it failed, the traceback.
"""

import contextlib
import io
import json
import os
import sys
import traceback

import django
from django.core.management import call_command
from django.db import connections


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "apex.settings.active")
    django.setup()
    answers = sys.stdout
    for line in sys.stdin:
        said, problem = io.StringIO(), ""
        with contextlib.redirect_stdout(said):
            try:
                call_command(*json.loads(line), stdout=said)
            except Exception:
                problem = traceback.format_exc()
        connections.close_all()
        print(json.dumps({"said": said.getvalue(), "problem": problem}), file=answers, flush=True)


if __name__ == "__main__":
    main()
