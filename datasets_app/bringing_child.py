"""`python -m datasets_app.bringing_child IMPORT TOKEN`: makes the version of one import, in a process of its own.

A worker starts it (`datasets_app.execution`) and watches it: hostile bytes are read here, and nowhere else.
"""

import logging
import os
import resource
import sys

from apex.processes.child import die_with_parent

ADDRESS_SPACE = 16 * 1024**3  # bytes; the worker watches the memory that is really used

logger = logging.getLogger(__name__)


def limit_this_process() -> None:
    """No core dumps, an end to address space, last in line for the processor, first for the kernel's OOM killer."""
    die_with_parent(os.getppid())
    os.nice(5)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    try:
        with open("/proc/self/oom_score_adj", "w") as score:
            score.write("900")
    except OSError as problem:
        logger.info("the OOM killer is not told to begin here: %s", problem)


def main() -> None:
    limit_this_process()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "apex.settings.active")
    import django

    django.setup()
    from datasets_app.making import bring

    bring(*sys.argv[1:])


if __name__ == "__main__":
    main()
