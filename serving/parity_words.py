"""What the comparison with the training found, in a sentence for its owner."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from serving import parity

WORDS = {
    parity.TEMPLATE: gettext_lazy(
        "The server puts questions into another form than the training did (chat template or tokenizer). Give it "
        "the base model's own template."
    ),
    parity.WRONG_BASE: gettext_lazy(
        "The server's base model is another one than the one that was trained on. Serve the right one."
    ),
    parity.QUANTISED: gettext_lazy(
        "The server keeps its base model in fewer bits than it was compared with, and its answers differ. Serve it "
        "whole, or in a finer format."
    ),
    parity.NOT_APPLIED: gettext_lazy(
        "The server answers as if nothing had been learned: it does not use the adapter."
    ),
    parity.STALE: gettext_lazy(
        "The server answers with another adapter than this one. Start it again, then try once more."
    ),
    parity.CORRUPTED: gettext_lazy("The adapter's files are damaged on the server's disk."),
    parity.OTHER: gettext_lazy(
        "The server answers otherwise than the training did. Look whether its base model, its template and its "
        "number format are those of the training."
    ),
}


def words_for(found: dict[str, Any]) -> str:
    """`found` is `Parity.as_json()`."""
    return f"{headline(found)} {measured(found)}".strip() if found else ""


def headline(found: dict[str, Any]) -> str:
    """The same without the figures."""
    if not found:
        return ""
    if found["reason"] == parity.NOT_TOLD:
        return _("It answers. The process that comes with Apex does not tell enough to compare more.")
    if found["is_equal"] is None:
        return _("There is nothing to compare it with: it was kept without reference answers.")
    if found["is_equal"]:
        return _("Answers as it did when it was trained.")
    return str(WORDS.get(found["reason"], WORDS[parity.OTHER]))


def measured(found: dict[str, Any]) -> str:
    if found.get("difference") is None:
        return ""
    words = _(
        "Over %(tokens)s tokens of %(prompts)s answers it is off by %(difference)s on average; %(bound)s is fine."
    )
    return words % {
        "tokens": found["tokens"],
        "prompts": found["prompts"],
        "difference": f"{found['difference']:.4f}",
        "bound": f"{found['bound']:g}",
    }


def divergence_words(found: dict[str, Any]) -> str:
    """Where its own greedy answer would leave the trained one; empty if it would not."""
    place = found.get("divergence")
    if not place:
        return ""
    words = _("In answer %(answer)s it would write %(found)s in place of %(expected)s, at token %(token)s.")
    return words % {
        "answer": place["prompt"] + 1,
        "token": place["position"] + 1,
        "expected": repr(place["expected_text"] or place["expected"]),
        "found": repr(place["found_text"] or place["found"]),
    }


def drift_words(found: dict[str, Any]) -> str:
    """How far the base in 4 bits, on which it learned, is from the whole one; it is told, and stops nothing."""
    drift = found.get("drift")
    if not drift:
        return ""
    words = _(
        "It learned on the base model in 4 bits, whose answers are %(difference)s from those of the whole one; "
        "%(same)s of %(all)s answers are the same."
    )
    return words % {
        "difference": f"{drift['mean_abs_logprob_difference']:.4f}",
        "same": drift["same_answers"],
        "all": found.get("prompts", 0),
    }
