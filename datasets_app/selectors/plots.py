"""What a whole version holds, as plots: each with its words, its numbers for a table, and how to draw it.

`static/js/plots.js` draws them; page and API say the same numbers.
"""

from typing import Any

from django.conf.locale import LANG_INFO
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from base_models.models import BaseModel
from datasets_app import measuring
from datasets_app.checking.languages import UNKNOWN
from datasets_app.models import DatasetVersion

ROLES = {
    "system": gettext_lazy("instructions"),
    "user": gettext_lazy("person"),
    "assistant": gettext_lazy("answer"),
    "tool": gettext_lazy("tool"),
}
# What the sample of languages has fewer of goes into one bar.
LANGUAGES_SHOWN = 12
GENERIC = {"zh": "zh-hans", "no": "nb"}


def whole_profile(version: DatasetVersion, base_model: BaseModel, max_length: int) -> dict[str, Any]:
    """What is known of the whole version, for API and page. Raises RenderError, OSError."""
    known = measuring.profile_of(version=version, base_model=base_model)
    return {
        "version": version.number,
        "base_model": base_model.name,
        "rows": known["rows"],
        "is_whole": known["is_whole"],
        "is_drawn": known["is_drawn"],
        "is_counting": known["is_counting"],
        "progress": known["progress"],
        "problem": known["problem"],
        "tokens": known["counts"].facts(max_length),
        "content": content_facts(known["content"]),
    }


def content_facts(content: dict[str, Any] | None) -> dict[str, Any] | None:
    """What does not depend on a base model; None while it is not counted."""
    if content is None:
        return None
    duplicates = content.get("duplicates") or {}
    return {
        "messages": content.get("messages") or {},
        "characters": content.get("characters") or {},
        "turns": content.get("turns") or {},
        "lengths": content.get("lengths") or [],
        "languages": content.get("languages"),
        # None: not looked for.
        "duplicates": {
            "exact": duplicates.get("exact", 0),
            "near": (content.get("near_duplicates") or {}).get("rows"),
            "contradictions": duplicates.get("contradictions", 0),
            "split_overlap": duplicates.get("split_overlap", 0),
        },
    }


def plots_of(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The plots of a profile, those without anything to show left out.

    Each is `{"key", "title", "term", "words", "columns", "rows": [[label, number]], "draw"}`; `draw` is what the
    script takes: `{"kind": "histogram"|"bars", "x", "y", "width", "line", "x_title", "y_title"}`.
    """
    plots = [lengths_plot(found["tokens"]), shares_plot(found["tokens"])]
    if content := found["content"]:
        plots += [duplicates_plot(content), roles_plot(content), turns_plot(content), languages_plot(content)]
    return [plot for plot in plots if plot["rows"]]


def lengths_plot(facts: dict[str, Any]) -> dict[str, Any]:
    bars = facts["histogram"]
    width = bars[0]["to"] + 1 if bars and bars[0]["to"] is not None else 1
    labels = [
        f"{bar['from']:,}–{bar['to']:,}" if bar["to"] is not None else f"{bar['from']:,} +" for bar in bars
    ]
    half = _(
        "Half of the examples have at most %(median)s tokens, 95 of 100 at most %(most)s; the longest has %(longest)s."
    )
    words = half % {"median": f"{facts['median']:,}", "most": f"{facts['percentile_95']:,}",
                    "longest": f"{facts['longest']:,}"}  # fmt: skip
    return plot(
        "lengths", _("How long the examples are"), _("tokens"), f"{words} {cut_words(facts)}",
        labels, [bar["rows"] for bar in bars], _("tokens of an example"),
        kind="histogram", x=[bar["from"] + width / 2 for bar in bars], width=width,
        line={"at": facts["max_length"], "label": _("longest allowed")},
    )  # fmt: skip


def cut_words(facts: dict[str, Any]) -> str:
    """What the longest length allowed does to the rows, as a sentence."""
    most, longer = f"{facts['max_length']:,}", facts["shortened_rows"] + facts["left_out_rows"]
    if not longer:
        return _("All fit into the %(most)s tokens that are allowed: nothing is cut.") % {"most": most}
    share = f"{100 * facts['longer_share']:.1f}"
    words = _("%(share)s of 100 are longer than the %(most)s tokens that are allowed:") % {
        "share": share,
        "most": most,
    }
    parts = []
    if facts["shortened_rows"]:
        parts.append(
            ngettext(
                "%(count)s is shortened, the oldest turns first",
                "%(count)s are shortened, the oldest turns first",
                facts["shortened_rows"],
            )
            % {"count": f"{facts['shortened_rows']:,}"}
        )
    if facts["left_out_rows"]:
        parts.append(
            _("%(count)s do not fit even so and are left out") % {"count": f"{facts['left_out_rows']:,}"}
        )
    return f"{words} {', '.join(parts)}."


def shares_plot(facts: dict[str, Any]) -> dict[str, Any]:
    bars = facts["trained_share_histogram"] if facts["readable_rows"] else []
    words = _(
        "Of all tokens that are read, %(share)s of 100 are learned; the rest is what the answers stand on."
    )
    return plot(
        "shares", _("How much of each example is learned"), _("share of trained tokens"),
        words % {"share": f"{100 * facts['trained_share']:.1f}"},
        [f"{round(100 * bar['from'])}–{round(100 * bar['to'])} %" for bar in bars],
        [bar["rows"] for bar in bars], _("of 100 tokens, learned"),
        kind="histogram", x=[100 * (bar["from"] + bar["to"]) / 2 for bar in bars], width=10,
    )  # fmt: skip


def duplicates_plot(content: dict[str, Any]) -> dict[str, Any]:
    found = content["duplicates"]
    names = {
        "exact": _("the same again"),
        "near": _("nearly the same again"),
        "contradictions": _("same question, other answer"),
        "split_overlap": _("learned and tested on"),
    }
    counted = {names[key]: count for key, count in found.items() if count is not None}
    words = (
        _("What is there twice is learned twice; what contradicts itself teaches to guess.")
        if any(counted.values())
        else _("None found: no example is there twice, and no question is answered in two ways.")
    )
    return plot(
        "duplicates", _("What is there more than once"), _("duplicates"), words,
        list(counted), list(counted.values()), _("examples"),
    )  # fmt: skip


def roles_plot(content: dict[str, Any]) -> dict[str, Any]:
    messages = content["messages"]
    words = _("Who speaks how often. The model learns the answers; all else is what it answers to.")
    return plot(
        "roles", _("Who speaks"), _("messages by role"), words,
        [str(ROLES.get(role, role)) for role in messages], list(messages.values()), _("messages"),
    )  # fmt: skip


def turns_plot(content: dict[str, Any]) -> dict[str, Any]:
    turns = content["turns"]
    words = _("A question and its answer are two messages; instructions before them are one more.")
    return plot(
        "turns", _("How long the conversations go on"), _("messages of an example"), words,
        list(turns), list(turns.values()), _("messages of an example"), kind="columns",
    )  # fmt: skip


def languages_plot(content: dict[str, Any]) -> dict[str, Any]:
    found = content["languages"] or {"counts": {}, "sampled": 0, "one_in": 1}
    counts = list(found["counts"].items())
    rest = sum(count for _language, count in counts[LANGUAGES_SHOWN:])
    named = [(language_words(language), count) for language, count in counts[:LANGUAGES_SHOWN]]
    if rest:
        named.append((_("others"), rest))
    if found["one_in"] > 1:
        words = _("Told by script and common words, of %(sampled)s examples spread over all of them.")
    else:
        words = _("Told by script and common words, of all %(sampled)s examples.")
    words %= {"sampled": f"{found['sampled']:,}"}
    return plot(
        "languages", _("Which languages the answers are in"), "",
        f"{words} {_('Short texts stay “not sure”.')}",
        [name for name, _count in named], [count for _name, count in named], _("examples"),
    )  # fmt: skip


def language_words(code: str) -> str:
    """`"de"` → "German" in the language of the page."""
    if code == UNKNOWN:
        return _("not sure")
    info = LANG_INFO.get(GENERIC.get(code, code), {})
    return _(info["name"]) if "name" in info else code


def plot(
    key: str, title: str, term: str, words: str, labels: list[str], counts: list[int], x_title: str, *,
    kind: str = "bars", x: list[float] | None = None, width: float | None = None, line: dict[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """One plot: `bars` lie, `columns` stand, a `histogram` stands on a scale of numbers (`x` the middle of each)."""
    return {
        "key": key,
        "title": title,
        "term": term,
        "words": words,
        "columns": [x_title, _("number")],
        "rows": [list(pair) for pair in zip(labels, counts, strict=True)],
        "draw": {"kind": kind, "labels": labels, "x": x, "y": counts, "width": width, "line": line, "x_title": x_title,
                 "y_title": _("examples")},
    }  # fmt: skip
