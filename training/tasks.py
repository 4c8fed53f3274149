"""Celery's doors into training. A task takes ids and calls one function; running it twice is harmless."""

from celery import shared_task

from training import chains, sweeping, working


@shared_task
def work_on_queue(*, queue: str, **extra) -> None:
    working.nudge(queue)


@shared_task
def sweep_jobs(**extra) -> None:
    sweeping.sweep()


@shared_task
def advance_chain(*, chain_id: str, **extra) -> None:
    chains.advance_chain(chain_id)
