"""`python -m apex.processes.worker -Q QUEUE …`: a Celery worker whose pool processes never outlive it.

A pool process that is busy with a long task does not notice that its worker was killed. The task would go on
unseen, with a training run below it. So each pool process asks the system to be killed with its worker.
"""

import os
import sys

from celery.bin.celery import main as celery
from celery.signals import worker_process_init

from .child import die_with_parent


@worker_process_init.connect
def end_with_worker(**_extra: object) -> None:
    """Runs in each pool process when it starts."""
    die_with_parent(os.getppid())


if __name__ == "__main__":
    sys.argv = ["celery", "-A", "apex", "worker", *sys.argv[1:]]
    celery()
