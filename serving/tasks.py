"""Celery's door into serving. A task calls one function; running it twice is harmless."""

from celery import shared_task

from serving import export_running, export_sweeping
from serving import reconcile as looking


@shared_task
def reconcile(**extra) -> None:
    looking.reconcile()


@shared_task
def run_export(*, export_id: str, **extra) -> None:
    export_running.execute_export(export_id)


@shared_task
def sweep_exports(**extra) -> None:
    export_sweeping.sweep_exports()
