"""Celery's door into serving. A task calls one function; running it twice is harmless."""

from celery import shared_task

from serving import reconcile as looking


@shared_task
def reconcile(**extra) -> None:
    looking.reconcile()
