"""What may be asked, and what a page of base and tuned shows."""

from __future__ import annotations

import json
import logging
from itertools import islice

from apex.common import files
from apex.common.access import owned_or_404
from base_models.models import BaseModel
from datasets_app.models import DatasetVersion
from datasets_app.reference_rows import first_rows
from datasets_app.sources import SourceError
from training.models import Adapter, Checkpoint

logger = logging.getLogger(__name__)
SUGGESTIONS = 4
LONGEST_SUGGESTION = 300  # characters; a longer one is no question to try out
# A large file is not read to its end for a handful of suggestions.
ROWS_READ = 5000


def base_models_for(user):
    """Base models that can answer on this machine."""
    return BaseModel.objects.for_user(user).on_this_machine()


def adapters_for(user):
    """The user's adapters that can answer on this machine, newest first."""
    return (
        Adapter.objects.for_user(user)
        .filter(base_model__is_on_this_machine=True)
        .select_related("base_model")
    )


def adapter_or_404(user, adapter_id) -> Adapter:
    adapters = Adapter.objects.select_related("base_model", "dataset_version", "job")
    return owned_or_404(adapters, user, pk=adapter_id)


def checkpoint_or_404(user, job_id, step: int) -> Checkpoint:
    checkpoints = Checkpoint.objects.select_related("job__base_model", "job__dataset_version")
    return owned_or_404(checkpoints, user, job_id=job_id, step=step)


def last_adapter_of(job_id) -> Adapter | None:
    """What the job left at its end; nothing while it is at work."""
    return Adapter.objects.filter(job_id=job_id, step__isnull=True).first()


def suggested_prompts(version: DatasetVersion, count: int = SUGGESTIONS) -> list[str]:
    """Last questions of rows that were kept aside, so that neither model has seen them with their answers."""
    found: dict[str, None] = {}
    for row in _held_out_rows(version):
        question = next((m["content"] for m in reversed(messages_of(row)) if m["role"] == "user"), "").strip()
        if question and len(question) <= LONGEST_SUGGESTION:
            found[question] = None
        if len(found) == count:
            break
    return list(found)


def shared_instruction(version: DatasetVersion) -> str:
    """The system message with which all rows kept aside begin; empty if they have none or different ones.

    A model that learned under an instruction has to be asked under it too, or it is not what was trained.
    """
    seen = {_instruction(row) for row in islice(_held_out_rows(version), 50)}
    return seen.pop() if len(seen) == 1 else ""


def _instruction(row: dict) -> str:
    messages = messages_of(row)
    return messages[0]["content"] if messages and messages[0]["role"] == "system" else ""


def messages_of(row: dict) -> list[dict]:
    """The messages that lead to an answer; none in a plain text."""
    return row.get("messages") or row.get("prompt") or []


def _held_out_rows(version: DatasetVersion):
    if version.erased_at:
        return
    for row in islice(_rows(version), ROWS_READ):
        if row["split"] == "held_out":
            yield row


def _rows(version: DatasetVersion):
    """Of a reference only what a page may show, and nothing while its store is away: these are mere suggestions."""
    if version.reference_id:
        try:
            yield from first_rows(version, 0, ROWS_READ)
        except SourceError as problem:
            logger.info("no suggestions from %s: %s", version.pk, problem)
        return
    with open(files.local_path(version.rows_sha256), encoding="utf-8") as lines:
        yield from map(json.loads, lines)
