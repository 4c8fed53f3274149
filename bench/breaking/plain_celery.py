"""The peer of a training that survives: a Celery task as the manual has it for work that must not be lost.

Late acknowledgement, one task at a time, and redelivery of what was not acknowledged in time.
"""

import os
import time
from pathlib import Path

from celery import Celery

STEPS, STEP_SECONDS = 40, 0.1  # as long as a drill with its loading
VISIBILITY_SECONDS = int(os.environ["PLAIN_VISIBILITY_SECONDS"])

app = Celery("plain", broker=os.environ["PLAIN_BROKER_URL"])
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_transport_options={"visibility_timeout": VISIBILITY_SECONDS},
    broker_connection_retry_on_startup=True,
)


@app.task
def train(name: str) -> None:
    """Sleeps step by step, and at the end does once what must be done once."""
    note(f"begun {name}")
    for _step in range(STEPS):
        time.sleep(STEP_SECONDS)
    note(f"done {name}")


def note(words: str) -> None:
    """One line to a file: what was done to the broker cannot undo it."""
    with open(Path(os.environ["PLAIN_NOTES"]), "a", buffering=1) as notes:
        notes.write(f"{words}\n")
