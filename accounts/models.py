"""People, the tokens that act for them, and what the bell tells them."""

import uuid
from datetime import timedelta
from zoneinfo import available_timezones

from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from knox.models import AbstractAuthToken

from apex.common.models import OwnedModel
from audit.models import Act
from audit.services import record_act


def validate_time_zone(name: str) -> None:
    if name not in available_timezones():
        words = _("%(name)s is not a time zone; choose one such as Europe/Berlin.")
        raise ValidationError(words, params={"name": name})


class User(AbstractUser):
    """A person. Times are kept in UTC and shown in `time_zone`."""

    time_zone = models.CharField(
        _("time zone"),
        max_length=64,
        default="UTC",
        validators=[validate_time_zone],
        help_text=_("Dates show in it."),
    )
    upload_limit_mb = models.PositiveIntegerField(
        _("largest upload, MB"),
        null=True,
        blank=True,
        help_text=_("Empty: as for everybody (UPLOAD_LIMIT_BYTES)."),
    )
    requests_per_minute = models.PositiveIntegerField(
        _("questions a minute"),
        null=True,
        blank=True,
        help_text=_("Empty: as for everybody; 0: no limit."),
    )
    tokens_per_minute = models.PositiveIntegerField(
        _("tokens a minute"),
        null=True,
        blank=True,
        help_text=_("Empty: as for everybody; 0: no limit."),
    )
    calls_per_minute = models.PositiveIntegerField(
        _("other calls a minute"),
        null=True,
        blank=True,
        help_text=_("Of the API, beside questions to models. Empty: as for everybody; 0: no limit."),
    )
    mails_budgets = models.BooleanField(
        _("e-mails about budgets"),
        default=True,
        help_text=_(
            "When one is nearly or all used up, or something was refused. The bell tells it in any case."
        ),
    )


class Scope(models.TextChoices):
    READ = "read", _("read: see your datasets, jobs and adapters")
    WRITE = "write", _("write: bring examples, start and cancel training")
    CHAT = "chat", _("chat: ask base models and your adapters")


class ApiToken(AbstractAuthToken):
    """Lets a program act for its user. Only a hash is kept; the token itself is shown once, when it is made.

    `model_names` are the names of the models that it may ask; none named: all that its user may. `expiry` ends it.
    `requests_per_minute` stands beside what its user may ask, so that it can only be less; it is as many other calls.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(_("name"), max_length=80)
    scopes = models.JSONField(_("scopes"), default=list)
    model_names = models.JSONField(_("models"), default=list, blank=True)
    requests_per_minute = models.PositiveIntegerField(
        _("questions a minute"),
        null=True,
        blank=True,
        help_text=_("And as many other calls. Empty: as its user."),
    )
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True)

    class Meta:
        verbose_name = _("API token")
        ordering = ["-created"]

    def __str__(self) -> str:
        return self.name

    def has_scope(self, scope: str) -> bool:
        return scope in self.scopes

    def may_ask(self, *names: str) -> bool:
        """Whether it may ask a model that goes by these names."""
        return not self.model_names or any(name in self.model_names for name in names)

    def note_use(self) -> None:
        """Keeps when it was last used, at most once a minute, so that a busy script does not write at each call.

        The audit log is told when its use begins: the first time, and after an hour without.
        """
        now = timezone.now()
        if self.last_used_at is None or now - self.last_used_at > timedelta(minutes=1):
            if self.last_used_at is None or now - self.last_used_at > timedelta(hours=1):
                record_act(Act.TOKEN_USED, owner=self.user, subject=self)
            type(self).objects.filter(pk=self.pk).update(last_used_at=now)
            self.last_used_at = now


class Notice(OwnedModel):
    """One line behind the bell."""

    text = models.CharField(_("text"), max_length=300)
    url = models.CharField(_("address"), max_length=300, blank=True)
    kind = models.CharField(_("kind"), max_length=40, default="job")
    read_at = models.DateTimeField(_("read"), null=True, blank=True)

    class Meta(OwnedModel.Meta):
        verbose_name = _("notice")
        indexes = [models.Index(fields=["owner", "read_at"])]

    def __str__(self) -> str:
        return self.text


class MailStatus(models.TextChoices):
    WAITING = "waiting", _("waiting")
    SENDING = "sending", _("being sent")
    SENT = "sent", _("sent")
    GIVEN_UP = "given_up", _("given up")


MAIL_MOVES: dict[str, set[str]] = {
    MailStatus.WAITING: {MailStatus.SENDING, MailStatus.GIVEN_UP},
    MailStatus.SENDING: {MailStatus.SENT, MailStatus.WAITING, MailStatus.GIVEN_UP},
    MailStatus.SENT: set(),
    MailStatus.GIVEN_UP: set(),
}


class NoticeMail(models.Model):
    """The one e-mail about a notice.

        waiting → sending → sent | given_up
        sending → waiting                     it certainly did not go out: once more when it is due
        waiting → given_up                    not wanted any more, or too old

    `tries` is also the fencing token of whoever is sending it.
    """

    notice = models.OneToOneField(Notice, on_delete=models.CASCADE, primary_key=True, related_name="mail")
    text = models.CharField(_("text"), max_length=500)
    status = models.CharField(_("status"), max_length=10, choices=MailStatus, default=MailStatus.WAITING)
    tries = models.PositiveSmallIntegerField(_("tries"), default=0)
    due_at = models.DateTimeField(_("due"), default=timezone.now)
    moved_at = models.DateTimeField(_("since"), default=timezone.now)
    problem = models.CharField(_("problem"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("e-mail about a notice")
        verbose_name_plural = _("e-mails about notices")
        indexes = [models.Index(fields=["status", "due_at"])]

    def __str__(self) -> str:
        return self.text


class AllowedPlace(models.Model):
    """A place that the guard on what users name would refuse, allowed by a superuser for the whole house.

    A host (`minio.internal:9000`, `10.0.0.0/8`) that `apex.common.fetch` may go to although it is in a private
    network, or a directory of this machine that `file://` references may read.
    """

    class What(models.TextChoices):
        HOST = "host", _("a host, with or without a port, or a network")
        DIRECTORY = "directory", _("a directory")

    what = models.CharField(_("what"), max_length=10, choices=What)
    place = models.CharField(_("place"), max_length=300)
    note = models.CharField(_("why"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("allowed place")
        constraints = [models.UniqueConstraint(fields=["what", "place"], name="place_is_allowed_once")]

    def __str__(self) -> str:
        return self.place
