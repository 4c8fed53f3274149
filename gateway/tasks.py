"""Celery's doors into the gateway. A task takes ids and calls one function; running it twice is harmless."""

from celery import shared_task

from gateway import batch_running, sweeping


@shared_task
def sweep_gateway(**extra) -> None:
    sweeping.sweep()


@shared_task
def run_batch(*, batch_id: str, **extra) -> None:
    batch_running.run_batch(batch_id)
