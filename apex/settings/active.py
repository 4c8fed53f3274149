"""The settings that `APEX_ENV` names: `dev` (default), `test` or `prod`."""

import os

environment = os.environ.get("APEX_ENV", "dev")

match environment:
    case "dev":
        from apex.settings.dev import *  # noqa: F403
    case "test":
        from apex.settings.test import *  # noqa: F403
    case "prod":
        from apex.settings.prod import *  # noqa: F403
    case _:
        raise SystemExit(f"APEX_ENV is {environment!r}; it must be dev, test or prod.")
