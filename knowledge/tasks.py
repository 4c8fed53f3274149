"""Celery's doors into knowledge. A task takes ids and calls one function; running it twice is harmless."""

from celery import shared_task

from knowledge import execution, sweeping


@shared_task
def read_document(*, document_id: str, **extra) -> None:
    execution.execute_document(document_id)


@shared_task
def build_index(*, index_id: str, **extra) -> None:
    execution.execute_index(index_id)


@shared_task
def sweep_knowledge(**extra) -> None:
    sweeping.sweep()
