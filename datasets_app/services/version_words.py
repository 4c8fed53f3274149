"""What a recipe does to the rows of a version, in one sentence."""

from typing import Any

from django.contrib.humanize.templatetags.humanize import intcomma
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from datasets_app.selectors.versions import edits_in_words


def in_words(make: str, told: dict[str, Any], before: int, after: int, sides: list[int]) -> str:
    """One sentence about the rows; the counts are those of what was read."""
    changed = _("%(before)s rows → %(after)s") % {"before": intcomma(before), "after": intcomma(after)}
    if make in ("filter", "clean", "deduplicate"):
        return f"{changed}: {going(make, told)}"
    if make == "merge":
        return f"{changed}: {coming(told)}"
    return OTHER_WORDS[make](told, sides)


def going(make: str, told: dict[str, Any]) -> str:
    count = told.get("dropped", 0)
    if not count:
        return _("nothing would go.")
    if make == "deduplicate":
        words = ngettext("%(count)s duplicate goes.", "%(count)s duplicates go.", count)
    elif make == "clean":
        words = ngettext(
            "%(count)s row with something to look at goes.",
            "%(count)s rows with something to look at go.",
            count,
        )
    else:
        words = ngettext("%(count)s row goes.", "%(count)s rows go.", count)
    return words % {"count": intcomma(count)}


def coming(told: dict[str, Any]) -> str:
    count, duplicates = sum(told.get("added", {}).values()), told.get("duplicates", 0)
    words = ngettext("%(count)s row comes", "%(count)s rows come", count) % {"count": intcomma(count)}
    if not duplicates:
        return f"{words}."
    left_out = ngettext(
        "%(count)s that is there already is left out.",
        "%(count)s that are there already are left out.",
        duplicates,
    )
    return f"{words}; {left_out % {'count': intcomma(duplicates)}}"


def about_split(told: dict[str, Any], sides: list[int]) -> str:
    words = ngettext(
        "%(train)s to learn from, %(held_out)s kept aside as a test; %(count)s row changes sides.",
        "%(train)s to learn from, %(held_out)s kept aside as a test; %(count)s rows change sides.",
        told["moved"],
    )
    counts = {"train": sides[0], "held_out": sides[1], "count": told["moved"]}
    return words % {name: intcomma(value) for name, value in counts.items()}


def about_mask(told: dict[str, Any], sides: list[int]) -> str:
    words = ngettext(
        "%(count)s row is changed; none goes.", "%(count)s rows are changed; none goes.", told["masked"]
    )
    return words % {"count": intcomma(told["masked"])}


def about_edit(told: dict[str, Any], sides: list[int]) -> str:
    return f"{edits_in_words(told)}."


def about_restore(told: dict[str, Any], sides: list[int]) -> str:
    counts = {"name": told["restored"], "count": intcomma(sum(sides))}
    return _("All %(count)s rows of %(name)s come back, as the newest version.") % counts


OTHER_WORDS = {"split": about_split, "mask": about_mask, "edit": about_edit, "restore": about_restore}
