"""What is recorded of a job while it runs: metrics, answers at each check, checkpoints, logs."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from training.models.jobs import Attempt, TrainingJob


class MetricBlock(models.Model):
    """The steps of one range of step numbers, packed: a million steps are a thousand rows (`training/metrics`).

    A range that still grows is kept in small pieces, so that adding a step writes little; once a later step has
    come, it is sealed: one row with a `summary`, from which a curve is drawn without opening `data`. That is last in
    the table, so that the rest of a row is read without it.
    """

    job = models.ForeignKey(TrainingJob, on_delete=models.CASCADE, related_name="metric_blocks")
    first_step = models.PositiveIntegerField(_("first step of its range"))
    last_step = models.PositiveIntegerField(_("last step that is in it"))
    count = models.PositiveIntegerField(_("steps in it"))
    is_sealed = models.BooleanField(_("a whole range"), default=False)
    summary = models.BinaryField(default=bytes)
    data = models.BinaryField(default=bytes)

    class Meta:
        verbose_name = _("block of metrics")
        ordering = ["first_step"]
        constraints = [
            models.UniqueConstraint(fields=["job", "first_step"], name="one_metric_block_per_first_step")
        ]

    def __str__(self) -> str:
        return f"steps {self.first_step} to {self.last_step}"


class Sample(models.Model):
    """What the model in training answered to a held-out question at one of its checks."""

    job = models.ForeignKey(TrainingJob, on_delete=models.CASCADE, related_name="samples")
    step = models.PositiveIntegerField(_("step"))
    position = models.PositiveSmallIntegerField(_("which question, from 0"))
    question = models.TextField(_("question"))
    answer = models.TextField(_("answer"))
    expected = models.TextField(_("answer in the examples"), blank=True)

    class Meta:
        verbose_name = _("sample")
        ordering = ["step", "position"]
        constraints = [
            models.UniqueConstraint(fields=["job", "step", "position"], name="one_sample_per_question")
        ]

    def __str__(self) -> str:
        return f"step {self.step}: {self.answer[:60]}"


class Discarded(models.Model):
    """Stored bytes that may be nobody's: noted before it is so, and forgotten once they are gone or somebody's.

    Whoever notes them removes them. If it dies before that, the sweep does, after a day.
    """

    sha256 = models.CharField(_("hash"), max_length=64, unique=True)
    noted_at = models.DateTimeField(_("noted"), auto_now_add=True)

    class Meta:
        verbose_name = _("discarded file")
        ordering = ["noted_at"]

    def __str__(self) -> str:
        return self.sha256


class CheckpointQuerySet(models.QuerySet):
    def for_user(self, user):
        return self.filter(job__owner=user) if user.is_authenticated else self.none()


class Checkpoint(models.Model):
    """All that a training needs to go on from a step, stored by hash as one zip; rows of pruned ones go away."""

    job = models.ForeignKey(TrainingJob, on_delete=models.CASCADE, related_name="checkpoints")
    token = models.PositiveIntegerField(_("fencing token of the attempt that wrote it"))
    step = models.PositiveIntegerField(_("step"))
    directory_sha256 = models.CharField(_("hash"), max_length=64)
    size_bytes = models.BigIntegerField(_("size"), default=0)
    eval_loss = models.FloatField(_("held-out loss"), null=True)
    is_best = models.BooleanField(_("lowest held-out loss so far"), default=False)
    is_damaged = models.BooleanField(_("could not be read again"), default=False)
    reason = models.CharField(_("why it was written"), max_length=20)
    tried_at = models.DateTimeField(_("last tried"), null=True, editable=False)
    created_at = models.DateTimeField(_("when"), auto_now_add=True)

    objects = CheckpointQuerySet.as_manager()

    class Meta:
        verbose_name = _("checkpoint")
        ordering = ["-step"]
        constraints = [models.UniqueConstraint(fields=["job", "step"], name="one_checkpoint_per_step")]

    def __str__(self) -> str:
        return f"step {self.step}"


class EngineLog(models.Model):
    """All that the engine wrote to its standard error in one attempt, gzip; the middle of a very long one is left out.

    `content` is last in the table, so that the rest of a row is read without it.
    """

    attempt = models.OneToOneField(
        Attempt, on_delete=models.CASCADE, primary_key=True, related_name="engine_log"
    )
    size_bytes = models.BigIntegerField(_("bytes that were written"), default=0)
    content = models.BinaryField(default=bytes)

    class Meta:
        verbose_name = _("log of an attempt")

    def __str__(self) -> str:
        return f"log of {self.attempt}"
