"""What people ask for, a module for each kind of act. Call them as `services.start_job(...)`."""

from .deleting import DeleteRefused, delete_job, delete_plan, refuse_continued, refuse_in_use
from .refusing import (
    NotEnoughLeft,
    StartRefused,
    refuse_early,
    refuse_priority,
    refuse_split,
    refuse_start,
    refuse_unknown_method,
)
from .settling import settled_config, suits
from .starting import NAME_LENGTH, retry_job, start_job, unfinished_retry
from .steering import cancel_job, change_priority, pause_job, resume_job

__all__ = [
    "NAME_LENGTH",
    "DeleteRefused",
    "NotEnoughLeft",
    "StartRefused",
    "cancel_job",
    "change_priority",
    "delete_job",
    "delete_plan",
    "pause_job",
    "refuse_continued",
    "refuse_early",
    "refuse_in_use",
    "refuse_priority",
    "refuse_split",
    "refuse_start",
    "refuse_unknown_method",
    "resume_job",
    "retry_job",
    "settled_config",
    "start_job",
    "suits",
    "unfinished_retry",
]
