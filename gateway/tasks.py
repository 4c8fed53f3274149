"""Celery's doors into the gateway. A task takes ids and calls one function; running it twice is harmless."""

from celery import shared_task

from gateway import sweeping


@shared_task
def sweep_gateway(**extra) -> None:
    sweeping.sweep()
