"""Which outside model is asked next, and the words for why."""

from decimal import Decimal

import pytest

from minions.choosing import Health, Price, Situation, choose
from minions.models import Choosing
from minions.recipes import Link

FIRST, SECOND, THIRD = Link("openai", "big"), Link("nvidia", "middle"), Link("ollama", "small")
CHAIN = (FIRST, SECOND, THIRD)
ASKED = Situation(input_tokens=1000, output_tokens=500)
PRICES = {
    "openai/big": Price(Decimal(10), Decimal(30)),
    "nvidia/middle": Price(Decimal(1), Decimal(3)),
    "ollama/small": Price(Decimal(0), Decimal(0)),
}


def only(link: Link, situation: Situation = ASKED, **more):
    """The decision where this link is the only one."""
    return choose((link,), situation, prices=PRICES, **more)


def test_the_first_is_asked_first():
    decision = choose(CHAIN, ASKED)
    assert (decision.index, decision.why, decision.passed_over) == (0, "first in the chain", ())


def test_after_a_failure_the_next_is_asked_and_says_what_failed():
    decision = choose(CHAIN, Situation(10, 10, failed={0: "overload"}))
    assert decision.index == 1
    assert decision.why == "openai/big failed (overload)"


def test_two_of_the_same_provider_and_model_are_told_apart_by_their_place():
    chain = (FIRST, Link("openai", "big", key="7b1c"), SECOND)
    decision = choose(
        chain, Situation(10, 10, failed={0: "auth"}), health={chain[1].health_key: Health(open_for=9)}
    )
    assert decision.index == 2 and decision.why == "openai/big, number 1 failed (auth)"
    assert [each.link for each in decision.passed_over] == ["openai/big, number 2"]


def test_when_all_have_failed_nobody_is_asked():
    decision = choose(CHAIN, Situation(10, 10, failed={0: "rate", 1: "auth", 2: "network"}))
    assert (decision.index, decision.why) == (None, "all of them have failed")


def test_one_that_is_ill_is_passed_over_with_the_time_that_is_left():
    decision = choose(CHAIN, ASKED, health={FIRST.health_key: Health(open_for=12)})
    assert decision.index == 1
    assert decision.passed_over[0].link == "openai/big" and "12 s" in decision.passed_over[0].why
    assert "openai/big was passed over" in decision.why


@pytest.mark.parametrize(
    ("link", "situation", "words"),
    [
        (Link("openai", "big", context=1400), ASKED, "1500 tokens do not fit its 1400"),
        (Link("openai", "big", has_tools=False), Situation(1, 1, needs_tools=True), "takes no tools"),
        (Link("openai", "big", most_cost="0.02"), ASKED, "$0.025000 there, more than $0.02"),
        (Link("house", "x", most_cost="1"), ASKED, "price is not known"),
    ],
)
def test_a_condition_that_does_not_hold_is_said(link, situation, words):
    decision = only(link, situation)
    assert decision.index is None
    assert words in decision.passed_over[0].why


@pytest.mark.parametrize(
    "link",
    [
        Link("openai", "big", context=1500),
        Link("openai", "big", has_tools=False),
        Link("openai", "big", most_cost="0.025"),
        Link("ollama", "small", most_cost="0.000001"),
    ],
)
def test_a_condition_that_just_holds_lets_it_be_asked(link):
    assert only(link).index == 0


def test_one_that_was_slow_is_passed_over_until_it_is_tried_again():
    link = Link("openai", "big", first_seconds=1)
    assert "3.0 s of late" in only(link, health={link.health_key: Health(first_seconds=3)}).passed_over[0].why
    assert only(link, health={link.health_key: Health(first_seconds=3, is_trial=True)}).index == 0
    assert only(link, health={link.health_key: Health(first_seconds=0.9)}).index == 0


def test_the_cheapest_is_asked_first_and_what_has_no_price_last():
    chain = (Link("house", "unknown"), *CHAIN)
    decision = choose(chain, ASKED, choosing=Choosing.CHEAPEST_FIRST, prices=PRICES)
    assert (decision.index, decision.cost) == (3, Decimal(0))
    failed = Situation(1000, 500, failed={3: "network", 2: "rate", 1: "rate"})
    assert choose(chain, failed, choosing=Choosing.CHEAPEST_FIRST, prices=PRICES).index == 0


def test_the_same_model_with_another_key_has_its_own_health():
    ill, well = Link("openai", "big", key="a"), Link("openai", "big", key="b")
    assert choose((ill, well), ASKED, health={ill.health_key: Health(open_for=5)}).index == 1


def test_a_chain_of_nothing_says_so():
    assert choose((), ASKED).why == "no outside model is named"
