"""Programs elsewhere that are told what trainings measure: `APEX_TRACKER` names one of `TRACKERS`."""

from django.conf import settings

from training.trackers.base import Tracker
from training.trackers.mlflow import MLflow
from training.trackers.trackio import Trackio
from training.trackers.wandb import WandB

TRACKERS = {"mlflow": MLflow, "wandb": WandB, "trackio": Trackio}


def chosen_tracker() -> Tracker | None:
    """A new one, as the settings say; None if there is none (a check of Django names a wrong name)."""
    found = TRACKERS.get(settings.TRACKER)
    return found() if found else None
