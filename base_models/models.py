"""The catalogue of base models: what training starts from."""

import uuid
from pathlib import Path

from django.db import models
from django.utils.translation import gettext_lazy as _

from rendering.lengths import DEFAULT_MAX_LENGTH


class Source(models.TextChoices):
    BUILT_IN = "built_in", _("comes with Apex")
    DIRECTORY = "directory", _("a directory on this machine")
    HUB = "hub", _("a model hub")


class BaseModelQuerySet(models.QuerySet):
    def on_this_machine(self):
        return self.filter(is_on_this_machine=True)

    def for_user(self, user):
        """Base models are the house's: everybody who is signed in sees them all."""
        return self.all() if user.is_authenticated else self.none()


class BaseModel(models.Model):
    """A causal language model in safetensors. Superusers add them; everybody may train on them."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.SlugField(_("name"), max_length=80, unique=True, help_text=_("As programs call it."))
    display_name = models.CharField(_("shown as"), max_length=120)
    description = models.CharField(_("what it is good for"), max_length=400, blank=True)
    source = models.CharField(_("source"), max_length=20, choices=Source)
    location = models.CharField(_("directory or hub id"), max_length=500)
    revision = models.CharField(
        _("revision"), max_length=64, blank=True, help_text=_("Commit on the hub, or the hash.")
    )
    sha256 = models.CharField(
        _("hash"), max_length=64, blank=True, help_text=_("Of its weights, config and tokenizer.")
    )
    parameters = models.BigIntegerField(_("parameters"), default=0)
    size_bytes = models.BigIntegerField(_("size on disk"), default=0)
    context = models.PositiveIntegerField(
        _("context"), default=2048, help_text=_("Tokens that it reads at once.")
    )
    licence = models.CharField(_("licence"), max_length=80, blank=True)
    directory = models.CharField(_("directory on this machine"), max_length=500, blank=True)
    is_on_this_machine = models.BooleanField(_("on this machine"), default=False)
    problem = models.CharField(_("why it cannot be used"), max_length=500, blank=True)
    recommended_config = models.JSONField(_("recommended settings"), default=dict, blank=True)
    created_at = models.DateTimeField(_("added"), auto_now_add=True)

    objects = BaseModelQuerySet.as_manager()

    class Meta:
        verbose_name = _("base model")
        ordering = ["parameters", "name"]

    def __str__(self) -> str:
        return self.display_name

    @property
    def path(self) -> Path:
        return Path(self.directory)

    @property
    def suited_settings(self) -> list[tuple[str, str, object]]:
        """`(method, setting, value)` of what suits it; the method is empty where a setting holds for several."""
        found = []
        for name, value in self.recommended_config.items():
            under = value.items() if isinstance(value, dict) else [("", value)]
            found += [(name, inner, each) if inner else ("", name, each) for inner, each in under]
        return found

    @property
    def usual_length(self) -> int:
        """Tokens of an example that a training of this model reads, unless told otherwise."""
        wanted = self.recommended_config.get("max_length", DEFAULT_MAX_LENGTH)
        return min(wanted, self.context)
