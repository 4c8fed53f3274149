"""Celery's doors into datasets. A task takes ids and calls one function; running it twice is harmless."""

from celery import shared_task

from datasets_app import execution, sweeping


@shared_task
def run_import(*, import_id: str, **extra) -> None:
    execution.execute_import(import_id)


@shared_task
def sweep_imports(**extra) -> None:
    sweeping.sweep()
