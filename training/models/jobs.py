"""Plans, jobs, their attempts and history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.utils.translation import gettext_lazy as _

from apex.common.models import OwnedModel, OwnedQuerySet
from base_models.models import BaseModel
from datasets_app.models import DatasetVersion

if TYPE_CHECKING:
    from training.models.adapters import Adapter

METHODS = [
    ("sft", _("learn from examples (SFT)")),
    ("dpo", _("learn from comparisons (DPO)")),
    ("orpo", _("learn from comparisons in one go (ORPO)")),
    ("kto", _("learn from good and bad answers (KTO)")),
    ("drill", _("a drill without a base model, for tests of the machinery")),
]


class Purpose(models.TextChoices):
    STYLE = "style", _("A style: how it speaks")
    TASK = "task", _("A task: what it does with what it is given")
    PREFERENCE = "preference", _("A taste: which of two answers is better")


class Plan(OwnedModel):
    """A half-filled wizard. It becomes exactly one job, however often the button is pressed."""

    name = models.CharField(_("name"), max_length=80, blank=True)
    purpose = models.CharField(_("what it should learn"), max_length=20, choices=Purpose, blank=True)
    method = models.CharField(_("method"), max_length=10, choices=METHODS, default="sft")
    preset = models.CharField(_("preset"), max_length=20, default="balanced")
    dataset_version = models.ForeignKey(
        DatasetVersion, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    base_model = models.ForeignKey(
        BaseModel, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    start_adapter = models.ForeignKey(
        "training.Adapter", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    config = models.JSONField(_("advanced settings"), default=dict, blank=True)
    device_count = models.PositiveSmallIntegerField(_("devices it asks for"), default=1)
    changed_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta(OwnedModel.Meta):
        verbose_name = _("plan")

    def __str__(self) -> str:
        return self.name or str(_("unnamed plan"))


class Status(models.TextChoices):
    QUEUED = "queued", _("Waiting")
    RUNNING = "running", _("Learning")
    PAUSING = "pausing", _("Pausing")
    PAUSED = "paused", _("Paused")
    SUCCEEDED = "succeeded", _("Finished")
    FAILED = "failed", _("Failed")
    CRASHED = "crashed", _("Crashed")
    CANCELLED = "cancelled", _("Stopped")


MOVES: dict[str, set[str]] = {
    Status.QUEUED: {Status.RUNNING, Status.PAUSED, Status.CANCELLED, Status.FAILED, Status.CRASHED},
    Status.RUNNING: {
        Status.QUEUED,
        Status.PAUSING,
        Status.SUCCEEDED,
        Status.FAILED,
        Status.CRASHED,
        Status.CANCELLED,
    },
    Status.PAUSING: {Status.PAUSED, Status.SUCCEEDED, Status.FAILED, Status.CRASHED, Status.CANCELLED},
    Status.PAUSED: {Status.QUEUED, Status.CANCELLED},
    Status.SUCCEEDED: set(),
    Status.FAILED: set(),
    Status.CRASHED: set(),
    Status.CANCELLED: set(),
}
ENDED = [status for status, after in MOVES.items() if not after]
UNFINISHED = [status for status, after in MOVES.items() if after]
HELD = [Status.RUNNING, Status.PAUSING]  # a worker has it


class Priority(models.IntegerChoices):
    LOW = -1, _("when nothing else waits")
    NORMAL = 0, _("in its turn")
    HIGH = 1, _("before the others")


class JobQuerySet(OwnedQuerySet):
    def unfinished(self):
        return self.filter(status__in=UNFINISHED)

    def held(self):
        return self.filter(status__in=HELD)

    def waiting(self):
        return self.filter(status=Status.QUEUED)


class TrainingJob(OwnedModel):
    """One training, as asked for. The row is the truth; the queue is only a nudge.

        queued → running → succeeded | failed | crashed | cancelled
        running → queued                       its worker was lost: another attempt goes on from a checkpoint
        running → pausing → paused → queued    its owner pauses it, and lets it go on
        queued → paused | cancelled | failed | crashed
        pausing → succeeded | failed | crashed | cancelled
        paused → cancelled

    `fence` counts the claims: a worker's writes hold only while its attempt's token equals it.
    """

    name = models.CharField(_("name"), max_length=80)
    plan = models.OneToOneField(Plan, on_delete=models.SET_NULL, null=True, blank=True, related_name="job")
    retry_of = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="retries"
    )
    dataset_version = models.ForeignKey(DatasetVersion, on_delete=models.RESTRICT, related_name="+")
    base_model = models.ForeignKey(BaseModel, on_delete=models.RESTRICT, related_name="+")
    start_adapter = models.ForeignKey(
        "training.Adapter",
        on_delete=models.RESTRICT,
        null=True,
        blank=True,
        related_name="continued_by",
        verbose_name=_("adapter that it goes on from"),
    )
    method = models.CharField(_("method"), max_length=10, choices=METHODS, default="sft")
    config = models.JSONField(_("settings"), default=dict)
    status = models.CharField(
        _("status"), max_length=12, choices=Status, default=Status.QUEUED, db_index=True
    )
    priority = models.SmallIntegerField(_("priority"), choices=Priority, default=Priority.NORMAL)
    device_count = models.PositiveSmallIntegerField(_("devices it asks for"), default=1)
    memory_bytes = models.BigIntegerField(_("memory it needs on each, bytes"), null=True, blank=True)
    wanted_queue = models.CharField(
        _("only on"), max_length=80, blank=True, help_text=_("A device's queue; empty: wherever it fits.")
    )
    queue = models.CharField(
        _("queue"),
        max_length=80,
        blank=True,
        help_text=_("Of the device that has or had it; until then, where it is expected."),
    )
    fence = models.PositiveIntegerField(default=0, editable=False)
    tries_without_progress = models.PositiveSmallIntegerField(default=0, editable=False)
    queued_at = models.DateTimeField(_("waits since"), null=True, blank=True)
    started_at = models.DateTimeField(_("first started"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    step = models.PositiveIntegerField(_("step"), default=0)
    total_steps = models.PositiveIntegerField(_("steps in all"), default=0)
    eta_seconds = models.FloatField(_("seconds left"), null=True, blank=True)
    tokens = models.BigIntegerField(_("tokens"), default=0)
    tokens_per_second = models.FloatField(_("tokens a second"), null=True, blank=True)
    eval_loss_base = models.FloatField(_("held-out loss of the base model"), null=True, blank=True)
    eval_loss = models.FloatField(_("held-out loss"), null=True, blank=True)
    best_step = models.PositiveIntegerField(_("step with the lowest held-out loss"), null=True, blank=True)
    best_eval_loss = models.FloatField(_("lowest held-out loss"), null=True, blank=True)
    train_loss = models.FloatField(_("loss"), null=True, blank=True)
    facts = models.JSONField(_("what the engine said at its start and end"), default=dict, blank=True)
    estimate = models.JSONField(_("what was expected"), default=dict, blank=True)
    reason = models.CharField(_("kind of failure"), max_length=40, blank=True)
    message = models.TextField(_("what happened"), blank=True)
    advice = models.TextField(_("what to do"), blank=True)
    log_tail = models.TextField(_("end of the log"), blank=True)

    objects = JobQuerySet.as_manager()

    class Meta(OwnedModel.Meta):
        verbose_name = _("training job")
        indexes = [models.Index(fields=["owner", "status"]), models.Index(fields=["status", "queue"])]

    def __str__(self) -> str:
        return self.name

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED

    @property
    def is_held(self) -> bool:
        return self.status in HELD

    @property
    def progress(self) -> float:
        """Part of the steps that is done, 0 to 1."""
        if self.status == Status.SUCCEEDED:
            return 1.0
        return min(1.0, self.step / self.total_steps) if self.total_steps else 0.0

    @property
    def adapter(self) -> Adapter | None:
        """What it left at its end, or None; kept checkpoints are adapters with a `step`."""
        return next((adapter for adapter in self.adapters.all() if adapter.step is None), None)


class AttemptQuerySet(models.QuerySet):
    def for_user(self, user):
        return self.filter(job__owner=user) if user.is_authenticated else self.none()

    def open(self):
        return self.filter(ended_at__isnull=True)


class Attempt(models.Model):
    """One run of a job by one worker, which holds the job while `beats` goes up and `token == job.fence`.

    No clock of a worker decides: the sweep notes what `beats` was (`seen_beats`), when it looked (`seen_at`) and for
    how long in all the beats have stood still (`still_seconds`, `training.sweeping`).
    """

    job = models.ForeignKey(TrainingJob, on_delete=models.CASCADE, related_name="attempts")
    token = models.PositiveIntegerField(_("fencing token"))
    worker = models.CharField(_("worker"), max_length=200)
    pid = models.PositiveIntegerField(_("process of the engine"), null=True, blank=True)
    started_at = models.DateTimeField(_("started"), auto_now_add=True)
    heartbeat_at = models.DateTimeField(_("last heartbeat"))
    beats = models.PositiveIntegerField(_("heartbeats"), default=0)
    seen_beats = models.PositiveIntegerField(null=True, editable=False)
    seen_at = models.DateTimeField(null=True, editable=False)
    still_seconds = models.FloatField(_("seconds without a heartbeat"), default=0, editable=False)
    storing_sha256 = models.CharField(
        max_length=64,
        blank=True,
        editable=False,
        help_text=_("Hash of what it is storing, for which there is no row yet."),
    )
    resumed_step = models.PositiveIntegerField(_("went on from step"), default=0)
    last_step = models.PositiveIntegerField(_("came to step"), default=0)
    hardware = models.CharField(_("hardware"), max_length=200, blank=True)
    device_count = models.PositiveSmallIntegerField(_("devices"), default=1)
    price_per_hour = models.DecimalField(
        _("price an hour, US dollars"), max_digits=10, decimal_places=4, null=True, blank=True
    )
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    outcome = models.CharField(_("outcome"), max_length=12, blank=True)

    objects = AttemptQuerySet.as_manager()

    class Meta:
        verbose_name = _("attempt")
        ordering = ["-started_at"]
        constraints = [models.UniqueConstraint(fields=["job", "token"], name="one_attempt_per_token")]

    def __str__(self) -> str:
        return f"{self.job} #{self.token}"


class JobEvent(models.Model):
    """What happened to a job, in order: its history is a query."""

    job = models.ForeignKey(TrainingJob, on_delete=models.CASCADE, related_name="events")
    kind = models.CharField(_("kind"), max_length=40)
    message = models.TextField(_("message"))
    data = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(_("when"), auto_now_add=True)

    class Meta:
        verbose_name = _("job event")
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"
