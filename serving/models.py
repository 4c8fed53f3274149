"""Servers of models (nodes), what the owners of adapters put to work there (deployments), and where it stands."""

import secrets
import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _

from apex.common.models import OwnedModel, OwnedQuerySet
from base_models.models import BaseModel
from serving.exports.models import Export  # noqa: F401  a model of this app
from training.models import Adapter

EMBEDDED = "embedded"
# Kinds of server of one's own that adapters can be put on while they run; the others answer for their base alone.
ADAPTER_BACKENDS = ("vllm",)


class Health(models.TextChoices):
    UNKNOWN = "unknown", _("not asked yet")
    UP = "up", _("up")
    AWAY = "away", _("does not answer")
    WRONG = "wrong", _("serves something else")
    MIXING = "mixing", _("mixes answers up")


class Hardware(models.TextChoices):
    GPU = "gpu", _("GPU")
    CPU = "cpu", _("processor")


class NodeQuerySet(models.QuerySet):
    def enabled(self):
        return self.filter(is_enabled=True)

    def for_adapters(self):
        """In use, with a base model of their own, and able to take adapters."""
        return self.enabled().filter(base_model__isnull=False, backend__in=ADAPTER_BACKENDS)

    def pool_of(self, base_model: BaseModel):
        """The servers on which adapters of this base model go to work: its own, else the embedded process."""
        own = self.for_adapters().filter(base_model=base_model)
        return own if own.exists() else self.enabled().filter(backend=EMBEDDED)


class Node(models.Model):
    """A running server of one base model and its adapters, known to the house. Superusers add it.

    The embedded process is one too, without a base model: it loads by itself what it is asked for. `adapter_slots` is
    how many adapters the server computes at once (vLLM's `--max-loras`), `most_adapters` how many Apex registers
    there, `most_rank` the largest rank it takes. `loads_since_start` counts registrations since the server started.
    `base_scores` is how the base answered before any adapter was there, `probe` whether it still does so among them.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=60, unique=True)
    backend = models.CharField(_("kind of server"), max_length=30, default="vllm")
    address = models.CharField(
        _("address"), max_length=300, blank=True, help_text=_("Such as http://10.0.0.5:8000, without /v1.")
    )
    base_model = models.ForeignKey(
        BaseModel, on_delete=models.RESTRICT, null=True, blank=True, related_name="nodes"
    )
    served_name = models.CharField(
        _("what it calls the base model"), max_length=200, blank=True, help_text=_("`--served-model-name`")
    )
    hardware = models.CharField(_("runs on"), max_length=4, choices=Hardware, default=Hardware.GPU)
    is_mended = models.BooleanField(default=False, editable=False)  # apex/processes/vllm_mends.py
    adapter_slots = models.PositiveSmallIntegerField(_("adapter slots"), default=8)
    most_adapters = models.PositiveSmallIntegerField(_("adapters at most"), default=8)
    most_rank = models.PositiveSmallIntegerField(_("largest rank"), default=64)
    sealed_key = models.TextField(_("its key, encrypted"), blank=True, editable=False)
    key_hint = models.CharField(_("key"), max_length=40, blank=True, editable=False)
    is_enabled = models.BooleanField(_("in use"), default=True)
    health = models.CharField(_("health"), max_length=10, choices=Health, default=Health.UNKNOWN)
    problem = models.TextField(_("problem"), blank=True)
    last_seen_at = models.DateTimeField(_("last answered"), null=True, blank=True)
    loads_since_start = models.PositiveIntegerField(default=0, editable=False)
    base_scores = models.JSONField(default=dict, blank=True, editable=False)
    probe = models.JSONField(_("answers under mixed load"), default=dict, blank=True, editable=False)
    figures = models.JSONField(_("load"), default=dict, blank=True, editable=False)
    lease = models.UUIDField(null=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    is_nudged = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(_("added"), auto_now_add=True)

    objects = NodeQuerySet.as_manager()

    class Meta:
        verbose_name = _("server of models")
        verbose_name_plural = _("servers of models")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def takes_adapters(self) -> bool:
        return self.backend in (*ADAPTER_BACKENDS, EMBEDDED)

    @property
    def loads_on_demand(self) -> bool:
        """Whether it brings models into memory by itself when they are asked for."""
        return self.backend == EMBEDDED

    @property
    def needs_free_slot(self) -> bool:
        """vLLM on a processor answers for the base with whatever adapter is in its last slot, so that stays free.

        The one that Apex starts by itself is mended.
        """
        return self.backend == "vllm" and self.hardware == Hardware.CPU and not self.is_mended

    @property
    def is_up(self) -> bool:
        return self.is_enabled and self.health == Health.UP


class Status(models.TextChoices):
    WANTED = "wanted", _("Waiting for a server")
    LOADING = "loading", _("Being loaded")
    CHECKING = "checking", _("Being checked")
    ACTIVE = "active", _("At work")
    REFUSED = "refused", _("Not put to work")
    DRAINING = "draining", _("Finishing its last answers")
    UNLOADED = "unloaded", _("Taken down")
    REPLACED = "replaced", _("Replaced")


MOVES: dict[str, set[str]] = {
    Status.WANTED: {Status.LOADING, Status.REFUSED, Status.UNLOADED},
    Status.LOADING: {Status.CHECKING, Status.WANTED, Status.REFUSED, Status.UNLOADED},
    Status.CHECKING: {Status.ACTIVE, Status.WANTED, Status.REFUSED, Status.UNLOADED},
    Status.ACTIVE: {Status.DRAINING},
    Status.REFUSED: {Status.WANTED, Status.UNLOADED},
    Status.DRAINING: {Status.UNLOADED, Status.REPLACED, Status.WANTED},
    Status.UNLOADED: {Status.WANTED},
    Status.REPLACED: {Status.WANTED},
}
COMING = [Status.WANTED, Status.LOADING, Status.CHECKING]
ON_NODES = [*COMING, Status.ACTIVE, Status.DRAINING]  # what shall be registered


class DeploymentQuerySet(OwnedQuerySet):
    def active(self):
        return self.filter(status=Status.ACTIVE)

    def coming(self):
        return self.filter(status__in=COMING)

    def on_nodes(self):
        return self.filter(status__in=ON_NODES)


class Deployment(OwnedModel):
    """An adapter that its owner wants to work on the servers of its base model: one version of one assistant.

        wanted → loading → checking → active | refused
        loading | checking → wanted                        its server went away on the way: once more
        wanted | loading | checking | refused → unloaded   called off
        active → draining → unloaded | replaced            taken down, or another version took its place
        refused | draining | unloaded | replaced → wanted  put to work once more, by a roll-back, say

    Versions of one assistant share their `line` and its `model_name`, under which programs ask whichever of them is
    active; at most one is. `serving_name` is what servers know it by: it tells nobody anything, and with every version
    it is another one, so that no server can answer with what it once kept under that name.
    """

    adapter = models.ForeignKey(Adapter, on_delete=models.CASCADE, related_name="deployments")
    line = models.CharField(_("line"), max_length=12, db_index=True)
    version = models.PositiveIntegerField(_("version"), default=1)
    model_name = models.CharField(
        _("model name"), max_length=200, db_index=True, help_text=_("The same for all versions.")
    )
    serving_name = models.CharField(_("name on the servers"), max_length=40, unique=True)
    status = models.CharField(
        _("status"), max_length=12, choices=Status, default=Status.WANTED, db_index=True
    )
    replaces = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="replaced_by"
    )
    reason = models.CharField(_("kind of problem"), max_length=40, blank=True)
    message = models.TextField(_("what happened"), blank=True)
    parity = models.JSONField(_("compared with the training"), default=dict, blank=True)
    last_used_at = models.DateTimeField(_("last asked"), null=True, blank=True)
    active_at = models.DateTimeField(_("at work since"), null=True, blank=True)
    draining_at = models.DateTimeField(_("draining since"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    objects = DeploymentQuerySet.as_manager()

    class Meta(OwnedModel.Meta):
        verbose_name = _("deployment")
        constraints = [
            models.UniqueConstraint(fields=["line", "version"], name="one_deployment_per_version"),
            models.UniqueConstraint(
                fields=["line"], condition=Q(status="active"), name="one_active_version_per_line"
            ),
        ]
        indexes = [models.Index(fields=["owner", "status"])]

    def __str__(self) -> str:
        return f"{self.adapter.name} v{self.version}"

    @property
    def is_coming(self) -> bool:
        return self.status in COMING

    @property
    def is_active(self) -> bool:
        return self.status == Status.ACTIVE


class PlacementState(models.TextChoices):
    WANTED = "wanted", _("to be loaded")
    LOADED = "loaded", _("answers")
    RESTING = "resting", _("waits on disk")
    REFUSED = "refused", _("refused")


class Placement(models.Model):
    """One deployment on one node, as it was last found there. Only what is `loaded` and was equal is asked."""

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="placements")
    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="placements")
    state = models.CharField(_("state"), max_length=10, choices=PlacementState, default=PlacementState.WANTED)
    reason = models.CharField(_("kind of problem"), max_length=40, blank=True)
    message = models.TextField(_("what happened"), blank=True)
    parity = models.JSONField(_("compared with the training"), default=dict, blank=True)
    loaded_at = models.DateTimeField(_("loaded"), null=True, blank=True)
    load_seconds = models.FloatField(_("seconds to load and check"), null=True, blank=True)

    class Meta:
        verbose_name = _("placement")
        ordering = ["node__name"]
        constraints = [models.UniqueConstraint(fields=["deployment", "node"], name="one_placement_per_node")]

    def __str__(self) -> str:
        return f"{self.deployment} on {self.node}"


class DeploymentEvent(models.Model):
    """What happened to a deployment, who did it and why, in order."""

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="events")
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+",
        verbose_name=_("who"),
    )  # fmt: skip
    kind = models.CharField(_("kind"), max_length=40)
    message = models.TextField(_("what happened"))
    data = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(_("when"), auto_now_add=True)

    class Meta:
        verbose_name = _("deployment event")
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


def new_line() -> str:
    return secrets.token_hex(6)


def serving_name_of(line: str, version: int) -> str:
    """`a<line>-v<version>`: no word of its owner, and no character that a server could read as a path."""
    return f"a{line}-v{version}"


def model_name_of(adapter: Adapter, line: str) -> str:
    """`live:<owner>:<name>:<line>`: what programs call, whichever version is active."""
    owner = slugify(adapter.owner.get_username())[:40] or f"user-{adapter.owner_id}"
    return f"live:{owner}:{slugify(adapter.name)[:40] or 'assistant'}:{line}"
