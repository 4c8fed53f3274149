"""Which kinds of examples a training can learn from, and what a person wants with them."""

from django.utils.translation import gettext as _

from datasets_app.models import DatasetVersion, Kind
from training.engine.methods import METHODS
from training.models import Purpose

LEARNED: dict[str, tuple[str, ...]] = {name: method.learns_from for name, method in METHODS.items()}

# What a plan is for → the kinds of examples that show it.
SHOWN_BY: dict[str, tuple[str, ...]] = {
    Purpose.STYLE: (Kind.CHAT, Kind.TEXT),
    Purpose.TASK: (Kind.CHAT, Kind.TEXT),
    Purpose.PREFERENCE: (Kind.PREFERENCE, Kind.UNPAIRED),
}


def methods_for(kind: str) -> list[str]:
    """The methods that learn from this kind and are offered, the usual one first."""
    return [name for name, method in METHODS.items() if method.is_offered and kind in method.learns_from]


def method_for(kind: str, chosen: str = "") -> str:
    """The method that was chosen if it learns from this kind, else the usual one."""
    methods = methods_for(kind)
    return chosen if chosen in methods else methods[0]


def kinds_for(purpose: str) -> tuple[str, ...]:
    """Examples to imitate while nobody has said what the plan is for."""
    return SHOWN_BY.get(purpose) or SHOWN_BY[Purpose.STYLE]


def purpose_for(kind: str) -> str:
    """What examples of this kind are usually for."""
    return next(purpose for purpose, kinds in SHOWN_BY.items() if kind in kinds)


def mismatch(version: DatasetVersion, purpose: str) -> str:
    """Why these examples do not show what the plan is for; nothing if they do."""
    if version.kind in kinds_for(purpose):
        return ""
    if purpose == Purpose.PREFERENCE:
        return _("%(what)s A taste needs two answers to compare, or answers marked as good or bad.") % {
            "what": _what_it_is(version)
        }
    return _("%(what)s A style or a task needs examples to imitate.") % {"what": _what_it_is(version)}


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
