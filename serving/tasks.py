"""Celery's door into serving. A task calls one function; running it twice is harmless."""

from celery import shared_task

from serving import reconcile as looking
from serving.exports import execution, sweeping


@shared_task
def reconcile(**extra) -> None:
    looking.reconcile()


@shared_task
def run_export(*, export_id: str, **extra) -> None:
    execution.execute_export(export_id)


@shared_task
def sweep_exports(**extra) -> None:
    sweeping.sweep_exports()
