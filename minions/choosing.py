"""Which outside model is asked next, and why. Pure: rows, network and clock stay outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from django.utils.translation import gettext as _

from minions.models import Choosing
from minions.recipes import Link, told_apart
from providers.base import Price, Usage


@dataclass(frozen=True, slots=True)
class Health:
    """What was seen of a link. `open_for` seconds it is not asked (0: it may be); `is_trial`: this question tries
    whether it is well again. `first_seconds` is how long its first words took of late, None where nobody knows."""

    open_for: float = 0.0
    is_trial: bool = False
    first_seconds: float | None = None


WELL = Health()


@dataclass(frozen=True, slots=True)
class Situation:
    """The question: its tokens (estimated), the longest answer, whether tools come with it, and what has failed so
    far in this answer: index of the link → kind of failure."""

    input_tokens: int
    output_tokens: int
    needs_tools: bool = False
    failed: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PassedOver:
    link: str
    why: str


@dataclass(frozen=True, slots=True)
class Decision:
    """`index` of the link that is asked next, None where none can be; `why` in words, and those passed over."""

    index: int | None
    why: str
    passed_over: tuple[PassedOver, ...] = ()
    cost: Decimal | None = None


def choose(
    chain: Sequence[Link],
    situation: Situation,
    *,
    choosing: str = Choosing.IN_ORDER,
    prices: Mapping[str, Price] | None = None,
    health: Mapping[str, Health] | None = None,
) -> Decision:
    """The next link of `chain` for this question. `prices` are by `Link.name`, `health` by `Link.health_key`."""
    prices, health = prices or {}, health or {}
    names = told_apart(chain)
    fit: list[tuple[int, Decimal | None]] = []
    passed: list[PassedOver] = []
    for index, link in enumerate(chain):
        if index in situation.failed:
            continue
        price = prices.get(link.name)
        cost = None if price is None else price.cost(Usage(situation.input_tokens, situation.output_tokens))
        reason = unfit(link, situation, cost, health.get(link.health_key, WELL))
        if reason:
            passed.append(PassedOver(names[index], reason))
        else:
            fit.append((index, cost))
    if not fit:
        return Decision(None, _none_left(chain, situation), tuple(passed))
    if choosing == Choosing.CHEAPEST_FIRST:
        # What has no price is asked last: nobody can say that it is cheap.
        fit.sort(key=lambda found: (found[1] is None, found[1] or Decimal(0), found[0]))
    index, cost = fit[0]
    return Decision(index, _why(chain, index, cost, situation, choosing, passed), tuple(passed), cost)


def unfit(link: Link, situation: Situation, cost: Decimal | None, health: Health) -> str:
    """Why this link is not asked, in words; empty where it may be."""
    checks: tuple[Callable[[], str], ...] = (
        lambda: _resting(health),
        lambda: _too_long(link, situation),
        lambda: _("it takes no tools") if situation.needs_tools and not link.has_tools else "",
        lambda: _too_dear(link, cost),
        lambda: _too_slow(link, health),
    )
    return next((reason for check in checks if (reason := check())), "")


def _resting(health: Health) -> str:
    if not health.open_for:
        return ""
    return _("it failed several times and is left alone for %(seconds).0f s more") % {
        "seconds": health.open_for
    }


def _too_long(link: Link, situation: Situation) -> str:
    needed = situation.input_tokens + situation.output_tokens
    if link.context is None or needed <= link.context:
        return ""
    return _("about %(needed)d tokens do not fit its %(context)d") % {
        "needed": needed,
        "context": link.context,
    }


def _too_dear(link: Link, cost: Decimal | None) -> str:
    if link.cost_cap is None:
        return ""
    if cost is None:
        return _("its price is not known, so it cannot be held to $%(cap)s an answer") % {
            "cap": link.most_cost
        }
    if cost <= link.cost_cap:
        return ""
    return _("an answer may cost $%(cost).6f there, more than $%(cap)s") % {
        "cost": cost,
        "cap": link.most_cost,
    }


def _too_slow(link: Link, health: Health) -> str:
    if link.first_seconds is None or health.first_seconds is None or health.is_trial:
        return ""
    if health.first_seconds <= link.first_seconds:
        return ""
    return _("its first words took %(seen).1f s of late, more than %(most).1f s") % {
        "seen": health.first_seconds, "most": link.first_seconds,
    }  # fmt: skip


def _why(
    chain: Sequence[Link],
    index: int,
    cost: Decimal | None,
    situation: Situation,
    choosing: str,
    passed: list[PassedOver],
) -> str:
    if situation.failed:
        last, kind = list(situation.failed.items())[-1]
        return _("%(before)s failed (%(kind)s)") % {"before": told_apart(chain)[last], "kind": kind}
    if choosing == Choosing.CHEAPEST_FIRST and cost is not None:
        return _("the cheapest that fits: at most $%(cost).6f") % {"cost": cost}
    if passed:
        return _("%(link)s was passed over: %(why)s") % {"link": passed[0].link, "why": passed[0].why}
    return _("first in the chain") if index == 0 else _("next in the chain")


def _none_left(chain: Sequence[Link], situation: Situation) -> str:
    if not chain:
        return _("no outside model is named")
    if len(situation.failed) == len(chain):
        return _("all of them have failed")
    return _("none of them can be asked now")
