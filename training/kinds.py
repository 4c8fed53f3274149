"""Which kinds of examples a training can learn from."""

from django.utils.translation import gettext as _

from datasets_app.models import DatasetVersion, Kind
from training.engine.methods import METHODS

LEARNED: dict[str, tuple[str, ...]] = {name: method.learns_from for name, method in METHODS.items()}


def refusal_of(version: DatasetVersion, method: str = "sft") -> str:
    """Why this training cannot learn from these examples, and what to do; nothing if it can."""
    if version.kind in LEARNED.get(method, ()):
        return ""
    name = version.dataset.name
    if version.kind == Kind.PREFERENCE:
        return _(
            "%(name)s compares answers: a better and a worse one to each question. Learning from comparisons needs a "
            "training of its own (DPO), which is not there yet. Choose a set of conversations or of texts."
        ) % {"name": name}
    return _(
        "%(name)s marks answers as good or bad. Learning from marks needs a training of its own (KTO), which is not "
        "there yet. Choose a set of conversations or of texts."
    ) % {"name": name}
