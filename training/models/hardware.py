"""Where trainings run and what that costs: nodes, their devices (who has which), and offers of rented hardware."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from training.models.jobs import Attempt


class DeviceKind(models.TextChoices):
    CPU = "cpu", _("processor")
    GPU = "gpu", _("GPU")


class Node(models.Model):
    """A machine with workers, as they announced it."""

    name = models.CharField(_("name"), max_length=60, unique=True)
    hostname = models.CharField(_("host name"), max_length=200, blank=True)
    cpus = models.PositiveIntegerField(_("processors"), default=0)
    memory_bytes = models.BigIntegerField(_("memory, bytes"), default=0)
    driver = models.CharField(_("GPU driver"), max_length=60, blank=True)
    beats = models.PositiveIntegerField(_("heartbeats"), default=0)
    seen_beats = models.PositiveIntegerField(null=True, editable=False)
    seen_at = models.DateTimeField(_("last seen"), null=True, editable=False)
    still_seconds = models.FloatField(default=0, editable=False)
    is_online = models.BooleanField(_("online"), default=True)
    announced_at = models.DateTimeField(_("announced"), auto_now=True)

    class Meta:
        verbose_name = _("node")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name or self.hostname or "–"


class Device(models.Model):
    """One GPU, or a node's processor, with a queue of its own. `holder` is the one attempt that has it."""

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="devices")
    kind = models.CharField(_("kind"), max_length=4, choices=DeviceKind)
    index = models.PositiveSmallIntegerField(_("number on its node"), default=0)
    name = models.CharField(_("name"), max_length=100, blank=True)
    memory_bytes = models.BigIntegerField(_("memory, bytes"), default=0)
    queue = models.CharField(_("queue"), max_length=80, unique=True)
    is_enabled = models.BooleanField(_("takes trainings"), default=True)
    price_per_hour = models.DecimalField(
        _("price an hour, US dollars"), max_digits=10, decimal_places=4, default=0
    )
    holder = models.ForeignKey(
        Attempt, on_delete=models.SET_NULL, null=True, blank=True, related_name="devices", editable=False
    )

    class Meta:
        verbose_name = _("device")
        ordering = ["node__name", "kind", "index"]
        constraints = [
            models.UniqueConstraint(fields=["node", "kind", "index"], name="one_device_per_number")
        ]

    def __str__(self) -> str:
        return self.name or self.queue


class HardwareOffer(models.Model):
    """A kind of rented GPU machine with its prices: what the review page compares with. Superusers edit it."""

    name = models.CharField(_("name"), max_length=100, unique=True)
    gpu_name = models.CharField(_("GPU"), max_length=100)
    gpu_count = models.PositiveSmallIntegerField(_("GPUs"), default=1)
    memory_bytes = models.BigIntegerField(_("memory of each, bytes"))
    teraflops = models.FloatField(
        _("bf16 matrix speed, TFLOP/s"), help_text=_("Of one GPU, without sparsity.")
    )
    spot_low = models.DecimalField(
        _("spot price an hour, from"), max_digits=10, decimal_places=4, null=True, blank=True
    )
    spot_high = models.DecimalField(
        _("spot price an hour, to"), max_digits=10, decimal_places=4, null=True, blank=True
    )
    on_demand = models.DecimalField(
        _("price an hour on demand"), max_digits=10, decimal_places=4, null=True, blank=True
    )
    source = models.CharField(_("where the prices are from"), max_length=200, blank=True)
    priced_at = models.DateField(_("prices as of"), null=True, blank=True)
    is_shown = models.BooleanField(_("shown"), default=True)

    class Meta:
        verbose_name = _("hardware offer")
        ordering = ["memory_bytes", "name"]

    def __str__(self) -> str:
        return self.name
