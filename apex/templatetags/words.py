"""Numbers in plain words."""

from django import template
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

register = template.Library()


@register.filter
def duration(seconds) -> str:
    """`352` → "5 min 52 s"."""
    if seconds is None:
        return ""
    seconds = round(seconds)
    if seconds < 60:
        return _("%(n)s s") % {"n": seconds}
    minutes, rest = divmod(seconds, 60)
    if minutes < 60:
        return _("%(m)s min %(s)s s") % {"m": minutes, "s": rest} if rest else _("%(m)s min") % {"m": minutes}
    hours, minutes = divmod(minutes, 60)
    return _("%(h)s h %(m)s min") % {"h": hours, "m": minutes}


@register.filter
def about(seconds) -> str:
    """`352` → "about 6 min": as exact as an estimate can be."""
    if seconds is None:
        return ""
    if seconds < 45:
        return _("less than a minute")
    if seconds < 90:
        return _("about a minute")
    if seconds < 5400:
        return _("about %(n)s min") % {"n": round(seconds / 60)}
    return ngettext("about %(n)s hour", "about %(n)s hours", round(seconds / 3600)) % {
        "n": round(seconds / 3600)
    }


@register.filter
def left(seconds) -> str:
    """Time left: `40` → "a few seconds", `200` → "about 3 min"."""
    if seconds is None:
        return ""
    return _("a few seconds") if seconds < 45 else about(seconds)


@register.filter
def gigabytes(size) -> str:
    """Bytes → "3.1 GB"; small ones as MB."""
    if size is None:
        return ""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


@register.filter
def dollars(amount) -> str:
    """`0.004` → "under $0.01", `12.5` → "$12.50", `1234.5` → "$1,234"; nothing for None."""
    if amount is None:
        return ""
    if 0 < amount < 0.01:
        return _("under $0.01")
    return f"${amount:,.2f}" if amount < 1000 else f"${amount:,.0f}"


@register.filter
def percent(part) -> str:
    """`0.123` → "12 %"."""
    return "" if part is None else f"{100 * part:.0f} %"


@register.filter
def parameters(count) -> str:
    """`2533696` → "2.5 million"."""
    if count >= 1e9:
        return _("%(n)s billion") % {"n": f"{count / 1e9:.1f}"}
    return _("%(n)s million") % {"n": f"{count / 1e6:.1f}"}


@register.filter
def share(part, whole) -> int:
    """Part of a whole in per cent, at most 100."""
    return min(100, round(100 * part / whole)) if whole else 0
