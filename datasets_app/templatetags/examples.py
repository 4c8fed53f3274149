"""Words about examples."""

from django import template

from datasets_app.models import DatasetVersion
from datasets_app.selectors import FORMAT_WORDS

register = template.Library()


@register.filter
def format_words(name: str) -> str:
    """`"alpaca"` → "instructions"."""
    return str(FORMAT_WORDS.get(name, name))


@register.filter
def left_out(version: DatasetVersion) -> int:
    """How many rows of the file could not be read, or not learned from."""
    return version.made_from.get("left_out", 0)


@register.filter
def warnings(version: DatasetVersion) -> int:
    """How many kept rows have something worth a look."""
    return version.made_from.get("warnings", 0)


@register.filter
def total(counts: dict[str, int]) -> int:
    """The sum of counts by reason."""
    return sum(counts.values())
