"""Trackio, by its own library, which the operator installs beside Apex: `pip install trackio`.

It keeps runs in SQLite files of its own, in `TRACKIO_DIR` or `trackers/trackio` in the data directory, in the project
`TRACKIO_PROJECT` (Apex if left out). `trackio show` opens them, `trackio sync` takes them to a Space.
"""

import os
from datetime import UTC, datetime

from django.conf import settings

from training.trackers.base import Run, TrackerAway


class Trackio:
    name = "Trackio"

    def __init__(self, environment=os.environ):
        self.project = environment.get("TRACKIO_PROJECT") or "Apex"
        self.run: Run | None = None
        self.config: dict | None = None  # until it has been kept, which is with the first steps

    def open(self, run: Run) -> int:
        self.run = run
        highest = self.storage().get_max_step_for_run(self.project, run_id=run.job)
        if highest is None:
            self.config = {**run.params, **run.tags, "apex.job": run.job, "apex.owner": run.owner}
            self.config |= {"_Username": run.owner, "_Created": datetime.now(UTC).isoformat(), "_Group": None}
        return -1 if highest is None else highest

    @staticmethod
    def storage():
        """Where its own importers write: at once, whole or not at all, and never twice what has the same `log_id`."""
        # Its library reads this once, when it is imported.
        os.environ.setdefault("TRACKIO_DIR", str(settings.DATA_DIR / "trackers" / "trackio"))
        try:
            from trackio.sqlite_storage import SQLiteStorage
        except ImportError:
            raise TrackerAway(
                "its library is not installed where the worker runs; pip install trackio, and restart Apex"
            ) from None
        return SQLiteStorage

    def log(self, rows: list[dict]) -> None:
        self.storage().bulk_log(
            self.project,
            self.run.name,
            [
                {
                    key: value
                    for key, value in row.items()
                    if key not in ("step", "time") and value is not None
                }
                for row in rows
            ],
            steps=[row["step"] for row in rows],
            timestamps=[
                datetime.fromtimestamp(row["time"], UTC).isoformat()
                if row.get("time")
                else datetime.now(UTC).isoformat()
                for row in rows
            ],
            config=self.config,
            log_ids=[f"{self.run.job}-{row['step']}" for row in rows],
            run_id=self.run.job,
        )
        self.config = None

    def close(self, status: str) -> None:
        """It knows no states of a run."""
