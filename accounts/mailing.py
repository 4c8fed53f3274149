"""What the bell tells, by e-mail: a row for each, sent once at most, tried again while it certainly did not go out."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from smtplib import SMTPDataError, SMTPException, SMTPRecipientsRefused, SMTPResponseException
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import MAIL_MOVES, MailStatus, Notice, NoticeMail, User
from apex.common import queueing
from apex.common.states import move

log = logging.getLogger(__name__)
AT_ONCE = 50  # of one sweep
LONGEST_WAIT = timedelta(days=1)


class NotTaken(Exception):
    """It certainly did not go out. `is_for_good`: nor will it. `is_away`: their server cannot be reached at all.

    The message holds codes and kinds alone: what servers answer names addresses.
    """

    def __init__(self, why: str, *, is_for_good: bool = False, is_away: bool = False):
        super().__init__(why)
        self.is_for_good, self.is_away = is_for_good, is_away


def is_wanted(user: User) -> bool:
    return bool(settings.MAIL_IS_SET_UP and user.is_active and user.email and user.mails_budgets)


def queue(notice: Notice, text: str) -> None:
    """`text` is what the mail says: words of ours, no name that somebody gave, since an address may be anybody's."""
    owner = notice.owner
    if not is_wanted(owner):
        return
    since = timezone.now() - timedelta(days=1)
    today = NoticeMail.objects.filter(notice__owner=owner, notice__created_at__gt=since)
    if today.count() >= settings.MAILS_A_DAY:
        log.info("no e-mail about the notice %s: its owner had enough today", notice.pk)
        return
    NoticeMail.objects.create(notice=notice, text=text[:500])
    word = partial(
        queueing.send, "accounts.tasks.mail_notice", {"notice_id": str(notice.pk)}, lost="the sweep will look"
    )
    transaction.on_commit(word, robust=True)


def deliver(notice_id) -> bool:
    """Sends it if it is due and nobody else does. False: their server is away, and another one need not be tried."""
    now = timezone.now()
    mail = NoticeMail.objects.select_related("notice__owner").filter(pk=notice_id, due_at__lte=now).first()
    if mail is None:
        return True
    if not is_wanted(mail.notice.owner) or now - mail.notice.created_at > LONGEST_WAIT:
        move(
            mail,
            MailStatus.GIVEN_UP,
            moves=MAIL_MOVES,
            problem=_("not wanted any more, or too old"),
            moved_at=now,
        )
        return True
    mine = {"tries": mail.tries}
    if not move(mail, MailStatus.SENDING, moves=MAIL_MOVES, where=mine, tries=mail.tries + 1, moved_at=now):
        return True
    try:
        send(mail.notice, mail.text)
    except NotTaken as problem:
        put_off(mail, problem)
        return not problem.is_away
    except Exception as problem:
        # Their server may have it: sent twice would be worse than not at all, since the bell has it too.
        is_ours = not isinstance(problem, OSError | SMTPException)
        name = type(problem).__name__
        log.warning("nobody knows whether the e-mail %s went out (%s)", mail.pk, name, exc_info=is_ours)
        end(mail, MailStatus.GIVEN_UP, _("the connection was lost while it was sent"))
        return True
    end(mail, MailStatus.SENT)
    return True


def send(notice: Notice, text: str) -> None:
    """Hands it to the mail server. Raises NotTaken; anything else is raised where nobody knows."""
    connection = get_connection(timeout=settings.EMAIL_TIMEOUT)
    message = message_of(notice, text, connection)
    try:
        message.message()
    except ValueError as problem:
        raise NotTaken(_("the address cannot be written to"), is_for_good=True) from problem
    try:
        connection.open()
    except SMTPResponseException as problem:
        raise NotTaken(f"{type(problem).__name__} {problem.smtp_code}", is_away=True) from problem
    except (OSError, SMTPException, ValueError) as problem:
        raise NotTaken(type(problem).__name__, is_away=True) from problem
    try:
        message.send()
    except SMTPRecipientsRefused as problem:
        codes = [code for code, _words in problem.recipients.values()]
        is_for_good = all(code >= 500 for code in codes)
        raise NotTaken(f"SMTPRecipientsRefused {codes[0]}", is_for_good=is_for_good) from problem
    except SMTPResponseException as problem:  # it has answered, and said no
        is_for_good = isinstance(problem, SMTPDataError) and problem.smtp_code >= 500
        raise NotTaken(f"{type(problem).__name__} {problem.smtp_code}", is_for_good=is_for_good) from problem
    finally:
        hang_up(connection)


def hang_up(connection) -> None:
    """What goes wrong here changes nothing about what was sent."""
    try:
        connection.close()
    except (OSError, SMTPException) as problem:
        log.info("the mail server did not say good-bye (%s)", type(problem).__name__)


def message_of(notice: Notice, text: str, connection) -> EmailMessage:
    site = settings.SITE_URL
    there, profile = site + reverse("accounts:notice", args=[notice.pk]), site + reverse("accounts:settings")
    body = _(
        "%(text)s\n\nSee it here: %(there)s\n\n"
        "--\nApex at %(site)s tells you this because your profile there has this address. "
        "To get no such e-mails, change it: %(profile)s\n"
    ) % {"text": text, "there": there, "site": site, "profile": profile}
    host = urlsplit(site).hostname or "localhost"
    headers = {
        "Message-ID": f"<notice-{notice.pk}@{host}>",  # always the same: a reader's program would see a second one
        "Auto-Submitted": "auto-generated",
        "List-Unsubscribe": f"<{profile}>",
    }
    return EmailMessage(
        _("Apex: about one of your budgets"),
        body,
        to=[notice.owner.email],
        headers=headers,
        connection=connection,
    )


def put_off(mail: NoticeMail, problem: NotTaken) -> None:
    """Once more after a while, or never."""
    log.warning("the e-mail %s was not taken (%s), try %s", mail.pk, problem, mail.tries)
    if problem.is_for_good or mail.tries > len(settings.MAIL_PAUSES):
        end(mail, MailStatus.GIVEN_UP, str(problem))
        return
    due = timezone.now() + timedelta(seconds=settings.MAIL_PAUSES[mail.tries - 1])
    end(mail, MailStatus.WAITING, str(problem), due_at=due)


def end(mail: NoticeMail, status: str, problem: str = "", **more) -> None:
    """Of the try that this process made."""
    mine = {"tries": mail.tries}
    move(mail, status, moves=MAIL_MOVES, where=mine, problem=problem[:200], moved_at=timezone.now(), **more)


def sweep() -> int:
    """Sends what is due, and gives up what somebody was sending who is gone. How many were looked at."""
    silent = timezone.now() - timedelta(seconds=settings.MAIL_SILENT_SECONDS)
    for mail in NoticeMail.objects.filter(status=MailStatus.SENDING, moved_at__lt=silent):
        end(mail, MailStatus.GIVEN_UP, _("its worker was lost while it was sent"))
    due = NoticeMail.objects.filter(status=MailStatus.WAITING, due_at__lte=timezone.now()).order_by("due_at")
    keys = list(due.values_list("pk", flat=True)[:AT_ONCE])
    for key in keys:
        if not deliver(key):
            break
    return len(keys)
