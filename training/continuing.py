"""An adapter from which a training goes on: whether it may, and which settings it brings along."""

from typing import Any

from django.utils.translation import gettext as _

from base_models.models import BaseModel
from training.models import Adapter

# An adapter's tensors have these shapes and this strength; a training that goes on from it has to keep them.
KEPT_SETTINGS = ("lora_r", "lora_alpha", "target_modules")


class CannotContinue(Exception):
    """A training cannot go on from this adapter; `field` names the setting to change, if it is one."""

    def __init__(self, message: str, field: str = "start_adapter"):
        super().__init__(message)
        self.field = field


def check_start(adapter: Adapter, *, owner, base_model: BaseModel, lock: bool = False) -> None:
    """Raises CannotContinue unless it is there, the owner's own, and of this base model at this revision.

    With `lock`, inside a transaction, it cannot go before the transaction ends.
    """
    adapters = Adapter.objects.select_for_update() if lock else Adapter.objects
    if not adapters.filter(pk=adapter.pk, owner=owner).exists():
        raise CannotContinue(
            _("The adapter %(name)s is not there any more; choose another one, or begin with the base model.")
            % {"name": adapter.name}
        )
    if adapter.base_model_id != base_model.pk:
        raise CannotContinue(
            _(
                "The adapter %(name)s belongs to %(its)s, not to %(asked)s; choose that base model, or another adapter."
            )
            % {
                "name": adapter.name,
                "its": adapter.base_model.display_name,
                "asked": base_model.display_name,
            }
        )
    if adapter.base_revision != base_model.revision:
        raise CannotContinue(
            _(
                "The adapter %(name)s was trained on revision %(its)s of %(model)s, which is now at %(asked)s; train a "
                "new adapter first."
            )
            % {
                "name": adapter.name,
                "its": adapter.base_revision or _("none"),
                "model": base_model.display_name,
                "asked": base_model.revision or _("none"),
            }
        )


def settings_of(adapter: Adapter, asked: dict[str, Any]) -> dict[str, Any]:
    """The settings that a training takes over from `adapter`; raises CannotContinue if others are `asked` for."""
    kept = {name: adapter.config[name] for name in KEPT_SETTINGS if name in adapter.config}
    for name, value in kept.items():
        if name in asked and not _is_same(asked[name], value):
            raise CannotContinue(
                _("%(setting)s is %(asked)s, but the adapter %(name)s has %(its)s; leave it out.")
                % {"setting": name, "asked": asked[name], "name": adapter.name, "its": value},
                field=name,
            )
    return kept


def _is_same(asked: Any, its: Any) -> bool:
    if isinstance(its, list):
        return isinstance(asked, (list, tuple)) and sorted(map(str, asked)) == sorted(its)
    return asked == its
