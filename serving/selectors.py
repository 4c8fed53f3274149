"""What may be asked, and what a page of base and tuned shows."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta
from itertools import islice

from django.db.models import Q
from django.utils import timezone

from apex.common import files
from apex.common.access import owned_or_404
from base_models.models import BaseModel
from datasets_app.models import DatasetVersion
from datasets_app.reference_rows import first_rows
from datasets_app.sources import SourceError
from serving.backends.base import Place
from serving.models import EMBEDDED, Deployment, Health, Node, PlacementState
from serving.nodes import places_of
from training.models import Adapter, Checkpoint

logger = logging.getLogger(__name__)
SUGGESTIONS = 4
LONGEST_SUGGESTION = 300  # characters; a longer one is no question to try out
# A large file is not read to its end for a handful of suggestions.
ROWS_READ = 5000


# `last_used_at` is for the slot planner; to the minute is exact enough, and costs a busy assistant no writes.
USE_NOTED = timedelta(minutes=1)


def base_models_for(user):
    """Base models that can answer: on this machine, or on a server of their own."""
    served = Node.objects.enabled().filter(base_model__isnull=False).values("base_model")
    return BaseModel.objects.for_user(user).filter(Q(is_on_this_machine=True) | Q(pk__in=served))


def assistants_of(user) -> dict[str, datetime]:
    """The names under which the user's assistants at work are asked, and since when each is."""
    rows = Deployment.objects.for_user(user).active().order_by("-created_at")
    return dict(rows.values_list("model_name", "created_at"))


def deployment_called(user, model_name: str) -> Deployment | None:
    """The active version of the user's assistant of that name."""
    found = Deployment.objects.for_user(user).active().select_related("adapter__base_model")
    return found.filter(model_name=model_name).first()


def deployment_of(adapter: Adapter) -> Deployment | None:
    """Where this very adapter is at work, if it is."""
    found = Deployment.objects.active().select_related("adapter__base_model")
    return found.filter(adapter=adapter).order_by("-active_at").first()


def deployments_for(user):
    """The user's deployments with what a list shows of each, newest first."""
    related = ("adapter__base_model", "replaces")
    return Deployment.objects.for_user(user).select_related(*related).prefetch_related("placements__node")


def places_of_deployment(deployment: Deployment) -> tuple[Place, ...]:
    """Servers that have it ready, checked and equal; not the embedded process. Notes that it was asked."""
    now = timezone.now()
    if deployment.last_used_at is None or now - deployment.last_used_at > USE_NOTED:
        Deployment.objects.filter(pk=deployment.pk).update(last_used_at=now)
    ready = deployment.placements.filter(state=PlacementState.LOADED).values("node")
    nodes = Node.objects.enabled().filter(pk__in=ready, health=Health.UP).exclude(backend=EMBEDDED)
    return places_of(nodes)


def is_resting(deployment: Deployment) -> bool:
    """Whether it waits on disk for a slot of a server that is up."""
    resting = deployment.placements.filter(state=PlacementState.RESTING)
    return resting.filter(node__is_enabled=True, node__health=Health.UP).exists()


def places_of_base(base_model: BaseModel) -> tuple[str, tuple[Place, ...]]:
    """What its servers call the base model, and those that are up."""
    nodes = Node.objects.enabled().filter(base_model=base_model, health=Health.UP)
    listed = list(nodes)
    return (listed[0].served_name, places_of(listed)) if listed else ("", ())


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
