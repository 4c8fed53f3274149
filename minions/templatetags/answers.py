"""How answers and what they took are written on pages."""

from decimal import Decimal

from django import template
from django.utils.translation import gettext as _

from minions.markdown import REFERENCE, to_html

register = template.Library()


@register.filter
def cited(text: str, message) -> str:
    """The answer as HTML, with each `[2]` that names a passage as a link to it below."""
    numbers = tuple(sorted({passage["number"] for passage in message.citations}))
    return to_html(text, numbers=numbers, anchor=str(message.pk))


@register.filter
def mentioned(message) -> list[dict]:
    """The passages that the answer names; all that it was given, where it names none."""
    numbers = {int(number) for number in REFERENCE.findall(message.text)}
    named = [passage for passage in message.citations if passage["number"] in numbers]
    return named or message.citations


@register.filter
def dollars(amount) -> str:
    """`0.00034` → "$0.00034"; None → "price not known"."""
    if amount in (None, ""):
        return _("price not known")
    amount = Decimal(str(amount))
    if amount == 0:
        return _("no cost")
    if amount >= Decimal("0.01"):
        return f"${amount:,.2f}"
    return f"${amount:.{1 - amount.adjusted()}f}".rstrip("0")


@register.filter
def cost_of(trace) -> str:
    """What all stages cost; where the price of one is not known, that is said beside the rest."""
    unknown = [stage for stage in trace.stages if stage["output_tokens"] and stage["cost"] is None]
    return known_cost(trace.cost, is_priced=not unknown)


@register.simple_tag
def known_cost(cost, *, is_priced: bool) -> str:
    """What it cost as far as that is known."""
    if is_priced:
        return dollars(cost)
    return _("%(known)s, and what has no price") % {"known": dollars(cost)} if cost else dollars(None)


@register.filter
def milliseconds(value) -> str:
    """`1530.2` → "1.5 s", `12.3` → "12 ms"."""
    if value is None:
        return "–"
    return f"{value / 1000:.1f} s" if value >= 1000 else f"{value:.0f} ms"


@register.filter
def stage_name(kind: str) -> str:
    return {
        "style": _("What it learned"), "knowledge": _("What it looked up"), "answer": _("Outside model"),
        "rewrite": _("In its own words"),
    }.get(kind, kind)  # fmt: skip


@register.filter
def stage_shape(status: str) -> str:
    """A stage's status as a shape of `components/status.html`."""
    return {"done": "succeeded", "failed": "failed", "broken": "crashed", "stopped": "cancelled"}.get(
        status, "queued"
    )


@register.filter
def stage_word(status: str) -> str:
    return {
        "done": _("done"), "skipped": _("left out"), "failed": _("failed"), "stopped": _("stopped"),
        "broken": _("broke off"),
    }.get(status, status)  # fmt: skip
