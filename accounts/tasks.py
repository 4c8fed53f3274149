"""Celery's door into e-mail."""

from celery import shared_task

from accounts import mailing


@shared_task
def mail_notice(notice_id: str, **extra) -> None:
    mailing.deliver(notice_id)


@shared_task
def sweep_mails(**extra) -> None:
    mailing.sweep()
