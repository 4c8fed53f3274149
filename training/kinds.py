"""Which kinds of examples a training can learn from."""

from django.utils.translation import gettext as _

from datasets_app.models import DatasetVersion, Kind
from training.engine.methods import METHODS

LEARNED: dict[str, tuple[str, ...]] = {name: method.learns_from for name, method in METHODS.items()}


def refusal_of(version: DatasetVersion, method: str = "sft") -> str:
    """Why a training by `method` cannot learn from these examples, and what to do; nothing if it can."""
    if version.kind in LEARNED.get(method, ()):
        return ""
    return f"{_what_it_is(version)} {_what_to_choose(method)}"


def _what_it_is(version: DatasetVersion) -> str:
    words = {
        Kind.CHAT: _("%(name)s holds conversations to imitate, which are learned by example (SFT)."),
        Kind.TEXT: _("%(name)s holds plain texts, which are learned by example (SFT)."),
        Kind.PREFERENCE: _(
            "%(name)s compares answers: a better and a worse one to each question, which is for learning from "
            "comparisons (DPO or ORPO)."
        ),
        Kind.UNPAIRED: _(
            "%(name)s marks answers as good or bad, which is for learning from good and bad answers (KTO)."
        ),
    }
    return words[Kind(version.kind)] % {"name": version.dataset.name}


def _what_to_choose(method: str) -> str:
    if method in ("dpo", "orpo"):
        return _("Choose that way of learning, or a set that compares answers.")
    if method == "kto":
        return _("Choose that way of learning, or a set that marks answers as good or bad.")
    return _("Choose that way of learning, or a set of conversations or of texts.")
