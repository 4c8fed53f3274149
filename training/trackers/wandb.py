"""Weights & Biases, by its own library, which the operator installs beside Apex: `pip install wandb`.

`WANDB_API_KEY` says who sends, `WANDB_PROJECT` (Apex if left out) and `WANDB_ENTITY` where to, `WANDB_BASE_URL` to a
server of one's own; with `WANDB_MODE=offline` everything stays in `trackers/wandb` in the data directory.
"""

import logging
import os
from pathlib import Path

from django.conf import settings

from training.trackers.base import Run, TrackerAway
from training.trackers.wandb_files import highest_step

logger = logging.getLogger(__name__)
INIT_SECONDS = 20
FINISH_SECONDS = 10  # to send what its own process still holds
JOB_CONFIG = "apex.job"
# Numbers are sent, and nothing else: no console, no code, no git, no list of packages, no facts of the machine.
QUIET = {
    "console": "off",
    "silent": True,
    "x_disable_stats": True,
    "x_disable_meta": True,
    "x_disable_machine_info": True,
    "x_save_requirements": False,
    "disable_git": True,
    "disable_code": True,
    "save_code": False,
    "init_timeout": INIT_SECONDS,
    "finish_timeout": FINISH_SECONDS,
    "finish_timeout_raises": True,
}


class WandB:
    name = "Weights & Biases"

    def __init__(self, environment=os.environ):
        self.project = environment.get("WANDB_PROJECT") or "Apex"
        self.directory = Path(environment.get("WANDB_DIR") or settings.DATA_DIR / "trackers")
        self.run = None

    def open(self, run: Run) -> int:
        wandb = self.library()
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            self.run = wandb.init(
                project=self.project,
                id=run.job,
                name=run.name,
                config={**run.params, **run.tags, JOB_CONFIG: run.job, "apex.owner": run.owner},
                resume="allow",
                allow_val_change=True,
                reinit="create_new",
                dir=str(self.directory),
                settings=wandb.Settings(**QUIET),
            )
        except wandb.errors.UsageError:
            # Its text may hold what was in the environment.
            raise TrackerAway(
                "it does not accept its settings: look at WANDB_API_KEY and WANDB_ENTITY, or set WANDB_MODE=offline"
            ) from None
        except wandb.errors.CommError as problem:
            raise TrackerAway(f"its server does not answer ({type(problem).__name__})") from None
        if self.run.offline:  # its library does not look at what lies there
            return highest_step(self.directory / "wandb", run.job)
        return self.run.starting_step - 1

    @staticmethod
    def library():
        try:
            import wandb
        except ImportError:
            raise TrackerAway(
                "its library is not installed where the worker runs; pip install wandb, and restart Apex"
            ) from None
        return wandb

    def log(self, rows: list[dict]) -> None:
        """Its library drops a step that is not higher than the last one, so what is told again counts once."""
        for row in rows:
            numbers = {
                key: value for key, value in row.items() if key not in ("step", "time") and value is not None
            }
            if row.get("time"):
                numbers["_timestamp"] = row["time"]
            self.run.log(numbers, step=row["step"], commit=True)

    def close(self, status: str) -> None:
        """A training that goes on later is "preempted" there."""
        if self.run is None:
            return
        self.run.summary["apex.status"] = str(status)
        if status not in ("succeeded", "failed", "crashed", "cancelled"):
            self.run.mark_preempting()
        try:
            self.run.finish(exit_code=0 if status == "succeeded" else 1)
        except TimeoutError:
            logger.warning(
                "Weights & Biases did not take everything in %s s; `wandb sync` sends the rest from %s",
                FINISH_SECONDS,
                self.directory / "wandb",
            )
