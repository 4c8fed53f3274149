"""What killed workers left behind on this machine's disk."""

import shutil
from pathlib import Path

from training.models import Attempt


def clear_leftovers(work: Path) -> None:
    """Removes the folders of attempts that have ended; a folder is named `JOB-TOKEN-…`."""
    at_work = {f"{job}-{token}" for job, token in Attempt.objects.open().values_list("job_id", "token")}
    for folder in work.iterdir():
        if folder.name.rpartition("-")[0] not in at_work:
            shutil.rmtree(folder, ignore_errors=True)
