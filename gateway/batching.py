"""Batches: made, cancelled, told in OpenAI's shape."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.models import ApiToken
from apex.common.queueing import send
from apex.common.states import move
from gateway.asking import seconds
from gateway.models import BATCH_MOVES, BATCH_UNFINISHED, ApiFile, Batch, BatchStatus

WINDOWS = {"24h": timedelta(hours=24)}


def create_batch(
    *,
    owner,
    input_file: ApiFile,
    endpoint: str,
    completion_window: str = "24h",
    metadata: dict[str, str] | None = None,
    output_seconds: int | None = None,
    token: ApiToken,
) -> Batch:
    """A worker reads and answers it, under what `token` may ask; its file may be deleted meanwhile."""
    with transaction.atomic():
        batch = Batch.objects.create(
            owner=owner,
            endpoint=endpoint,
            completion_window=completion_window,
            input_file=input_file.public_id,
            input_sha256=input_file.sha256,
            metadata=metadata or {},
            output_seconds=output_seconds,
            model_names=token.model_names,
            token_id=token.public_id,
            expires_at=timezone.now() + WINDOWS[completion_window],
        )
        transaction.on_commit(partial(send_batch, batch.pk))
    return batch


def cancel_batch(*, batch: Batch) -> bool:
    """What is being answered is still answered, then it ends. False if it had ended, or its end is under way."""
    with transaction.atomic():
        won = change(batch, BatchStatus.CANCELLING)
        if won:
            transaction.on_commit(partial(send_batch, batch.pk))
    return won


def change(batch: Batch, to: str, **changes) -> bool:
    """Moves its status and notes when; False if it has another status by now."""
    times = {**batch.times, f"{to}_at": int(timezone.now().timestamp())}
    return move(batch, to, moves=BATCH_MOVES, times=times, **changes)


def send_batch(batch_id) -> None:
    """Nudges a worker. If the broker is away the row stays, and the sweep sends it again."""
    send("gateway.tasks.run_batch", {"batch_id": str(batch_id)}, lost="the sweep will send it again")


def send_waiting(stale_before) -> int:
    """Sends every batch again that nobody is at work on. Returns how many."""
    waiting = Batch.objects.filter(status__in=BATCH_UNFINISHED).exclude(heartbeat_at__gte=stale_before)
    keys = list(waiting.order_by("created_at").values_list("pk", flat=True))
    for key in keys:
        send_batch(key)
    return len(keys)


def told(batch: Batch) -> dict[str, Any]:
    """OpenAI's batch object. What has no value is left out."""
    body: dict[str, Any] = {
        "id": batch.public_id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "input_file_id": batch.input_file,
        "completion_window": batch.completion_window,
        "status": batch.status,
        "created_at": seconds(batch.created_at),
        "expires_at": seconds(batch.expires_at),
        "request_counts": {"total": batch.total, "completed": batch.completed, "failed": batch.failed},
        "metadata": batch.metadata or None,
    }
    if batch.model:
        body["model"] = batch.model
    if batch.errors:
        body["errors"] = {"object": "list", "data": batch.errors}
    if batch.output_file:
        body["output_file_id"] = batch.output_file.public_id
    if batch.error_file:
        body["error_file_id"] = batch.error_file.public_id
    if batch.usage:
        body["usage"] = usage_told(batch.usage)
    return body | batch.times


def usage_told(usage: dict[str, int]) -> dict[str, Any]:
    read, written = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": read + written,
    }
