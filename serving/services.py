"""What people and programs ask for: find a model by name, and have it answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

from asgiref.sync import sync_to_async
from django.conf import settings

from apex.common import files
from base_models.models import BaseModel
from serving import reconcile, selectors
from serving.backends.base import AdapterFiles, Backend, BackendUnavailable, Delta, Place, Target
from serving.backends.registry import BACKENDS
from serving.models import Deployment
from serving.nodes import backend_at
from serving.nudges import nudge_about
from serving.protocol import ApiError, ChatRequest, is_unicode, model_not_found
from serving.routing import RoutedBackend
from training.checkpoint_files import CheckpointUnusable, adapter_directory
from training.checkpoints import checkpoint_called, note_trial
from training.models import Adapter, Checkpoint


async def resolve_model(*, user, model_id: str) -> Target:
    """The base model, or the user's own adapter, assistant or checkpoint, of that name, and where it answers.

    What is at work on servers is asked there; everything else in the embedded process, with its files on this machine.
    Raises ApiError: the same `model_not_found` for a stranger's and for a missing one.
    """
    found = await sync_to_async(_find)(user, model_id)
    if isinstance(found, BaseModel):
        return await base_target(found)
    if isinstance(found, Checkpoint):
        return await checkpoint_target(found)
    if isinstance(found, Deployment):
        return await deployment_target(found, model_id)
    deployment = await sync_to_async(selectors.deployment_of)(found)
    return await deployment_target(deployment, model_id) if deployment else await adapter_target(found)


async def deployment_target(deployment: Deployment, model_id: str) -> Target:
    """`deployment` comes with its adapter and base model. Its servers if one has it ready, else the embedded process.

    One that waits on disk for a slot comes back first.
    """
    places = await sync_to_async(selectors.places_of_deployment)(deployment)
    if not places and await sync_to_async(selectors.is_resting)(deployment):
        await reconcile.bring_back(deployment.pk)
        places = await sync_to_async(selectors.places_of_deployment)(deployment)
    adapter = deployment.adapter
    if not places:
        return replace(await adapter_target(adapter), model_id=model_id, deployment=deployment.serving_name)
    path = await asyncio.to_thread(files.local_directory, adapter.directory_sha256)
    return Target(
        model_id=model_id,
        base_name=adapter.base_model.name,
        base_path=adapter.base_model.path,
        adapter=AdapterFiles(deployment.serving_name, path),
        lineage=lineage_of(adapter),
        places=places,
        deployment=deployment.serving_name,
    )


async def base_target(base_model: BaseModel) -> Target:
    """On the base model's own servers where one is up, under the name that it has there."""
    served_name, places = await sync_to_async(selectors.places_of_base)(base_model)
    if places:
        return replace(embedded_base_target(base_model), base_name=served_name, places=places)
    if not base_model.is_on_this_machine:
        raise BackendUnavailable(
            f"No server of {base_model.name} answers right now. Ask again in a few seconds."
        )
    return embedded_base_target(base_model)


def embedded_base_target(base_model: BaseModel) -> Target:
    return Target(
        model_id=base_model.name,
        base_name=base_model.name,
        base_path=base_model.path,
        lineage={"base-model": str(base_model.pk)},
    )


async def adapter_target(adapter: Adapter) -> Target:
    """`adapter` comes with its `base_model`. Fetches and unpacks its files where they are not here yet."""
    base_model = adapter.base_model
    check_base_is_here(base_model, adapter.model_id)
    path = await asyncio.to_thread(files.local_directory, adapter.directory_sha256)
    return Target(
        model_id=adapter.model_id,
        base_name=base_model.name,
        base_path=base_model.path,
        adapter=AdapterFiles(adapter.model_id, path),
        lineage=lineage_of(adapter),
    )


def lineage_of(adapter: Adapter) -> dict[str, str]:
    return {
        "adapter": str(adapter.pk),
        "job": str(adapter.job_id),
        "dataset-version": str(adapter.dataset_version_id),
    }


async def checkpoint_target(checkpoint: Checkpoint) -> Target:
    """`checkpoint` comes with its job and base model. Takes its adapter out where that is not done yet."""
    job = checkpoint.job
    model_id = f"checkpoint:{job.pk}:{checkpoint.step}"
    check_base_is_here(job.base_model, model_id)
    try:
        path = await asyncio.to_thread(adapter_directory, checkpoint)
    except CheckpointUnusable as problem:
        raise ApiError(str(problem), status=409, code="checkpoint_unusable") from problem
    return Target(
        model_id=model_id,
        base_name=job.base_model.name,
        base_path=job.base_model.path,
        adapter=AdapterFiles(model_id, path),
        lineage={"job": str(job.pk), "step": str(checkpoint.step)},
    )


def check_base_is_here(base_model: BaseModel, model_id: str) -> None:
    if not base_model.is_on_this_machine:
        raise ApiError(
            f"The adapter {model_id} needs its base model {base_model.name}, which is not on this machine.",
            status=400, param="model", code="base_model_not_here",
        )  # fmt: skip


def stream_answer(*, target: Target, request: ChatRequest, in_a_hurry: bool = False) -> AsyncIterator[Delta]:
    """The answer of `target` as it is written; closing the iterator ends it. Raises ApiError."""
    return backend_for(target, in_a_hurry=in_a_hurry).stream_chat(target, request)


def backend_for(target: Target, *, in_a_hurry: bool = False) -> Backend:
    """The target's servers, the least busy first and another where one is away; else the embedded process.

    `in_a_hurry`: a process that is not there is waited for three seconds at most (BackendUnavailable), as whoever
    asks can go on without it.
    """
    if target.places:
        return RoutedBackend(target, partial(backend_at, in_a_hurry=in_a_hurry), on_away=_note_away)
    return BACKENDS["embedded"](settings.EMBEDDED_URL, in_a_hurry=in_a_hurry)


def _note_away(place: Place) -> None:
    nudge_about(place.node)


def _find(user, model_id: str) -> BaseModel | Adapter | Checkpoint | Deployment:
    # A database answers neither with "not found" but with an exception.
    if "\x00" in model_id or not is_unicode(model_id):
        raise model_not_found(model_id)
    base_model = selectors.base_models_for(user).filter(name=model_id).first()
    if base_model:
        return base_model
    adapter = Adapter.objects.for_user(user).select_related("base_model").filter(model_id=model_id).first()
    if adapter is not None:
        return adapter
    deployment = selectors.deployment_called(user, model_id)
    if deployment is not None:
        return deployment
    checkpoint = checkpoint_called(user, model_id)
    if checkpoint is None:
        raise model_not_found(model_id)
    note_trial(checkpoint)  # so that it is not pruned while it answers
    return checkpoint
