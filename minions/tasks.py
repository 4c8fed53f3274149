from celery import shared_task

from minions import sweeping


@shared_task
def sweep_minions(**extra) -> None:
    sweeping.sweep()
