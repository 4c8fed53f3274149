"""What a training cannot start with, or as: each refusal names the field and says what to change."""

from django.conf import settings
from django.utils.translation import gettext as _

from base_models.models import BaseModel
from datasets_app.models import DatasetVersion
from training import continuing
from training.engine.methods import METHODS
from training.kinds import refusal_of
from training.models import Adapter, Priority


class StartRefused(Exception):
    """A job cannot start as asked. `field` names what to change; the message says how."""

    def __init__(self, message: str, field: str | None = None):
        super().__init__(message)
        self.field = field


class NotEnoughLeft(StartRefused):
    """A budget has less left than the training is expected to cost; the message is the arithmetic."""


def refuse_unknown_method(method: str) -> None:
    """Raises `StartRefused`. A drill is only there where tests have switched it on."""
    known = [name for name, found in METHODS.items() if found.is_offered or settings.TRAINING_DRILLS]
    if method not in known:
        words = _("There is no method %(method)s; there are %(known)s.")
        raise StartRefused(words % {"method": method, "known": ", ".join(known)}, field="method")


def refuse_early(version: DatasetVersion, base_model: BaseModel, method: str) -> None:
    """Raises `StartRefused` for what is plain before anything is read: away, erased, of another kind, or empty."""
    refuse_unknown_method(method)
    if not base_model.is_on_this_machine:
        raise StartRefused(
            _("%(name)s is not on this machine yet; choose a base model that is.")
            % {"name": base_model.name},
            field="base_model",
        )
    refuse_erased(version)
    if refusal := refusal_of(version, method):
        raise StartRefused(refusal, field="dataset")
    if version.train_count == 0:
        raise StartRefused(
            _("%(name)s has no example to learn from; add some first.") % {"name": version.dataset.name},
            field="dataset",
        )


def refuse_erased(version: DatasetVersion, *, lock: bool = False) -> None:
    """Raises `StartRefused` if the examples are gone; with `lock`, they cannot go before the transaction ends."""
    versions = DatasetVersion.objects.select_for_update() if lock else DatasetVersion.objects
    current = versions.filter(pk=version.pk).first()
    if current is None or current.erased_at:
        raise StartRefused(
            _(
                "The examples of %(name)s, version %(number)s, were erased, so nothing can be learned from them "
                "any more. Choose other examples."
            )
            % {"name": version.dataset.name, "number": version.number},
            field="dataset",
        )


def refuse_start(adapter: Adapter, *, owner, base_model: BaseModel, lock: bool = False) -> None:
    try:
        continuing.check_start(adapter, owner=owner, base_model=base_model, lock=lock)
    except continuing.CannotContinue as problem:
        raise StartRefused(str(problem), field=problem.field) from problem


def refuse_split(settled: dict, method: str, device_count: int) -> None:
    """Raises `StartRefused` where the base model would be split and the method cannot do that."""
    if device_count > 1 and settled.get("spread") == "fsdp" and not METHODS[method].can_split:
        words = _("spread is fsdp, which cannot be used to compare or mark answers (%(method)s); take ddp.")
        raise StartRefused(words % {"method": method}, field="spread")


def refuse_priority(user, priority: int) -> None:
    """Raises `StartRefused` for a priority that there is not, or that is not this user's to give."""
    if priority not in Priority.values:
        raise StartRefused(
            _("The priority is %(value)s; it can be -1, 0 or 1.") % {"value": priority}, field="priority"
        )
    if priority > Priority.NORMAL and not user.is_superuser:
        raise StartRefused(_("Only administrators put a training before the others."), field="priority")
