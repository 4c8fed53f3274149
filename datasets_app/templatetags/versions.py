"""Words about versions and their differences."""

from typing import Any

from django import template
from django.utils.translation import gettext as _

from datasets_app.deriving.comparing import turns_of

register = template.Library()


@register.filter
def figure_words(name: str) -> str:
    """What a figure of a comparison counts."""
    kind, _colon, role = name.partition(":")
    if kind == "role":
        return _("messages: %(role)s") % {"role": role_words(role)}
    words = {
        "rows": _("rows"),
        "train": _("to learn from"),
        "held_out": _("kept aside as a test"),
        "conversations": _("conversations"),
        "characters_mean": _("characters of a row, on average"),
        "characters_longest": _("characters of the longest row"),
    }
    return words.get(kind, kind)


@register.filter
def role_words(role: str) -> str:
    words = {
        "user": _("the person"),
        "assistant": _("the answer"),
        "system": _("instructions"),
        "tool": _("a tool’s result"),
        "text": _("text"),
    }
    return words.get(role, role)


@register.filter
def split_words(split: str) -> str:
    return _("kept aside as a test") if split == "held_out" else _("to learn from")


@register.filter
def turns(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """The turns of an entry of a comparison; of a row that only one side has, as they are."""
    if "turns" in entry:
        return entry["turns"]
    return [
        {"role": role, "state": "same", "pieces": [("same", text)]} for role, text in turns_of(entry["row"])
    ]
