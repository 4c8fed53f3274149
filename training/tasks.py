"""Celery's doors into training. A task takes ids and calls one function; running it twice is harmless."""

from celery import shared_task

from training import execution, sweeping


@shared_task
def run_job(*, job_id: str, **extra) -> None:
    execution.execute_job(job_id)


@shared_task
def sweep_jobs(**extra) -> None:
    sweeping.sweep()
