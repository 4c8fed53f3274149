"""What is recorded of a job while it runs: its metrics, the answers it writes at each check, its checkpoints."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from training.models.jobs import TrainingJob


class Metric(models.Model):
    """One step of a job. A later attempt overwrites an earlier one's step."""

    job = models.ForeignKey(TrainingJob, on_delete=models.CASCADE, related_name="metrics")
    token = models.PositiveIntegerField(_("fencing token"))
    step = models.PositiveIntegerField(_("step"))
    epoch = models.FloatField(null=True)
    loss = models.FloatField(null=True)
    eval_loss = models.FloatField(null=True)
    learning_rate = models.FloatField(null=True)
    grad_norm = models.FloatField(null=True)
    tokens = models.BigIntegerField(null=True)
    tokens_per_second = models.FloatField(null=True)
    recorded_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("metric")
        ordering = ["step"]
        constraints = [models.UniqueConstraint(fields=["job", "step"], name="one_metric_per_step")]

    def __str__(self) -> str:
        return f"step {self.step}"


class MetricBlock(models.Model):
    """Up to some hundred steps of a job, packed: a curve of a million steps is read from a few thousand rows.

    `summary` holds for each series its lowest and highest value with their steps, so that a curve is drawn without
    opening `data`. `data` is last in the table: a row's summary is then read without its payload.
    """

    job = models.ForeignKey(TrainingJob, on_delete=models.CASCADE, related_name="metric_blocks")
    first_step = models.PositiveIntegerField(_("first step"))
    last_step = models.PositiveIntegerField(_("last step"))
    count = models.PositiveIntegerField(_("steps in it"))
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
    created_at = models.DateTimeField(_("when"), auto_now_add=True)

    objects = CheckpointQuerySet.as_manager()

    class Meta:
        verbose_name = _("checkpoint")
        ordering = ["-step"]
        constraints = [models.UniqueConstraint(fields=["job", "step"], name="one_checkpoint_per_step")]

    def __str__(self) -> str:
        return f"step {self.step}"
