"""The plots of the page Usage: each with its words, its numbers as a table, and how `static/js/plots.js` draws it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import formats
from django.utils.translation import gettext as _

from ledger.selectors import Wish

MOST_BARS = 12


def plots_of(days: list[dict[str, Any]], models: list[dict[str, Any]], wish: Wish) -> list[dict[str, Any]]:
    """By day and by model, in money where there is any, else in tokens; device time where trainings ran."""
    found = [by_day(days, wish), by_model(models)]
    if any(row["gpu_seconds"] for row in days):
        found.append(devices_by_day(days, wish))
    return [plot for plot in found if plot["rows"]]


def by_day(days: list[dict[str, Any]], wish: Wish) -> dict[str, Any]:
    title, unit, value = money_or_tokens(days)
    labels, values = each_day(days, wish, value)
    words = _("%(sum)s in %(count)s days, most on one day %(most)s.") % {
        "sum": shown(sum(values), unit), "count": len(labels), "most": shown(max(values, default=0), unit),
    }  # fmt: skip
    return plot("days", title, _("by day, UTC"), words, labels, values, "columns", unit)


def devices_by_day(days: list[dict[str, Any]], wish: Wish) -> dict[str, Any]:
    labels, values = each_day(days, wish, lambda row: round(row["gpu_seconds"] / 3600, 3))
    words = _("%(sum)s hours of devices that trained.") % {"sum": f"{sum(values):,.2f}"}
    return plot(
        "devices", _("Time of devices"), _("hours by day"), words, labels, values, "columns", _("hours")
    )


def by_model(models: list[dict[str, Any]]) -> dict[str, Any]:
    title, unit, value = money_or_tokens(models)
    rows = [(row["model"] or _("no model"), value(row)) for row in models]
    rows = sorted((row for row in rows if row[1]), key=lambda row: -row[1])
    shown_rows, rest = rows[:MOST_BARS], rows[MOST_BARS:]
    if rest:
        shown_rows.append(
            (_("%(count)s others") % {"count": len(rest)}, sum(amount for _name, amount in rest))
        )
    labels = [short(name) for name, _amount in shown_rows]
    words = _("The most goes to %(name)s.") % {"name": rows[0][0]} if rows else ""
    return plot(
        "models", title, _("by model"), words, labels, [amount for _n, amount in shown_rows], "bars", unit
    )


def money_or_tokens(rows: list[dict[str, Any]]):
    if any(row["money"] for row in rows):
        return _("What it cost"), "$", lambda row: round(float(row["money"]), 6)
    return _("Tokens"), _("tokens"), lambda row: row["input_tokens"] + row["output_tokens"]


def each_day(days: list[dict[str, Any]], wish: Wish, value) -> tuple[list[str], list[float]]:
    """Days without use are there too, at nothing."""
    known = {row["day"]: value(row) for row in days}
    count = min(400, (wish.until - wish.since).days + 1)
    all_days = [wish.since + timedelta(days=number) for number in range(count)]
    if not known:
        return [], []
    return [formats.date_format(day, "j M") for day in all_days], [known.get(day, 0) for day in all_days]


def shown(amount: float, unit: str) -> str:
    return f"${amount:,.2f}" if unit == "$" else f"{amount:,} {unit}"


def short(name: str) -> str:
    return name if len(name) <= 32 else f"{name[:14]}…{name[-17:]}"


def plot(key: str, title: str, term: str, words: str, labels, values, kind: str, unit: str) -> dict[str, Any]:
    draw = {"kind": kind, "labels": labels, "y": values, "x_title": "", "y_title": unit}
    return {
        "key": key, "title": title, "term": term, "words": words, "columns": [term, unit],
        "rows": list(zip(labels, values, strict=True)), "draw": draw,
    }  # fmt: skip
