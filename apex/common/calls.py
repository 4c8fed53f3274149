"""The calls that pages show, for whoever would rather write a program."""

import json
import shlex
from typing import Any

from django.http import HttpRequest


def curl(request: HttpRequest, path: str, *, send: Any = None, options: str = "", more: str = "") -> str:
    """The call of `path` (with its query) at this site, by a token, ready for a shell.

    `send` goes as JSON, which makes it a POST; `options` stand before the address, `more` on a line at the end. What
    somebody wrote into `send` is quoted: pasted into a shell it is text, whatever it holds.
    """
    first = " ".join(filter(None, ["curl", options, shlex.quote(request.build_absolute_uri(path))]))
    lines = [first, '-H "Authorization: Bearer $APEX_TOKEN"']
    if send is not None:
        lines.append(f"--json {shlex.quote(json.dumps(send, ensure_ascii=False))}")
    return " \\\n  ".join([*lines, more] if more else lines)
