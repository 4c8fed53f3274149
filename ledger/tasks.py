"""Celery's door into the ledger."""

from celery import shared_task

from ledger import budgets


@shared_task
def sweep_ledger(**extra) -> None:
    budgets.release_expired()
