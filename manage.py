#!/usr/bin/env python
"""Django's command line for Apex."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "apex.settings.active")
    if sys.argv[1:2] == ["up"]:
        # Before the settings are read, which put the secret key into the data directory.
        from apex.processes import checks, places

        try:
            checks.check_data_dir(places.data_dir())
            checks.check_number("APEX_PORT")
            checks.check_number("APEX_GPUS")
        except checks.CannotStart as error:
            sys.exit(str(error))
    if sys.argv[1:2] == ["validate_dataset"]:
        from datasets_app.reading import command

        sys.exit(command.main(sys.argv[2:]))
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
