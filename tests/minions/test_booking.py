"""What answers take beside their words, and what is held for them while they go on."""

import asyncio
from contextlib import aclosing
from datetime import timedelta
from decimal import Decimal

import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone

from accounts.services import create_token
from apex.common.async_database import in_database
from knowledge.services import create_base
from ledger import budgets
from ledger.models import Counter, Reservation, UsageLine
from ledger.services import set_budget
from minions import answering
from minions.answering import Asked
from minions.flow import NoAnswer, Said
from minions.models import AnswerTrace
from providers.models import PriceOverride
from tests.knowledge.conftest import base, bring, own_storage, sent  # noqa: F401 - fixtures
from tests.minions.conftest import FIRST, SECOND
from tests.minions.test_answering import HELLO, asked
from tests.providers.fakes import Fault

pytestmark = pytest.mark.django_db(transaction=True)


def billed():
    """Lines of what took tokens; a try that failed has one without."""
    return UsageLine.objects.filter(input_tokens__gt=0)


def line_of(provider: str) -> UsageLine:
    return billed().get(provider=provider)


def test_of_two_that_were_asked_at_once_the_one_that_nobody_needed_is_billed_for_the_question(
    make_minion, outside, alice, monkeypatch
):
    monkeypatch.setattr("minions.asking.HEDGE_SECONDS", 0.05)
    PriceOverride.objects.create(provider="nvidia", model="*", input_price=2, output_price=2)
    outside[0].script.append(Fault(after=0, how="silent"))
    minion = make_minion(choosing="hedged")
    token, _text = create_token(user=alice, name="x")
    under_way, _events = asked(minion, token_id=token.public_id)
    loser, winner = line_of("openai"), line_of("nvidia")
    assert (loser.outcome, loser.output_tokens, loser.is_estimated) == ("left", 0, True)
    assert loser.input_tokens == 16 and loser.money > 0 and loser.price_source.startswith("genai-prices")
    assert (loser.minion_id, loser.token_id) == (minion.pk, token.public_id)
    assert (winner.outcome, winner.output_tokens) == ("ok", 10)
    trace = AnswerTrace.objects.get()
    assert trace.stages[0]["beside"][0]["model"] == "gpt-4o-mini"
    assert trace.cost == pytest.approx(loser.money + winner.money, abs=Decimal("1e-8"))
    assert under_way.trace.input_tokens == loser.input_tokens + winner.input_tokens


def test_one_that_was_too_slow_and_was_left_is_billed_and_one_that_refused_is_not(make_minion, outside):
    outside[0].script.append(Fault(after=0, how="silent"))
    asked(make_minion(chain=[FIRST | {"first_seconds": 0.1}, SECOND]))
    line = UsageLine.objects.get(provider="openai")
    assert (line.outcome, line.error, line.input_tokens) == ("failed", "network", 16)
    UsageLine.objects.all()._raw_delete("default")
    outside[0].script.append(Fault(status=500, body={"error": {"message": "Busy."}}))
    asked(make_minion(name="Other"))
    assert [line.provider for line in billed()] == ["nvidia"]


@pytest.fixture
def knowing(outside, make_minion, alice, bring):  # noqa: F811
    """A minion that looks up in a base whose vectors OpenAI makes; its document is in there, at no cost."""
    vectors = create_base(
        owner=alice, name="Vectors", embedding="provider", provider="openai", model="text-embedding-3-small"
    )
    bring("gate.txt", "The harbour gate opens at six.", into=vectors)
    UsageLine.objects.all()._raw_delete("default")
    PriceOverride.objects.create(
        provider="openai", model="text-embedding-3-small", input_price=10, output_price=0
    )
    return make_minion(mode="rag_only", knowledge_bases=[vectors])


def test_vectors_of_a_look_up_are_booked_with_the_minion_and_the_token(knowing, outside, alice):
    token, _text = create_token(user=alice, name="x")
    set_budget(owner=alice, limit=1, scope="minion", minion_id=knowing.pk, name="Nora")
    asked(knowing, token_id=token.public_id)
    looked = UsageLine.objects.get(activity="minion knowledge")
    assert (looked.model, looked.input_tokens, looked.is_estimated) == ("text-embedding-3-small", 1, False)
    assert (looked.minion_id, looked.token_id, looked.nanos) == (knowing.pk, token.public_id, 10_000)
    knowledge = AnswerTrace.objects.get().stages[0]
    assert knowledge["beside"][0]["cost"] == "0.00001" and knowledge["passages"]
    counter = Counter.objects.get()
    assert (counter.spent, counter.reserved) == (sum(line.nanos for line in UsageLine.objects.all()), 0)


def test_a_look_up_is_held_for_with_the_answer_and_booked_where_no_answer_comes(knowing, outside, alice):
    outside[0].script.append(Fault(after=0))  # of its streams alone: the look-up is well
    outside[1].script.append(Fault(status=500, body={"error": {"message": "Busy."}}))
    under_way, _events = asked(knowing)
    assert isinstance(under_way.problem, NoAnswer)
    assert [line.activity for line in billed()] == ["minion knowledge"]
    set_budget(owner=alice, limit=Decimal("0.00001"), scope="minion", minion_id=knowing.pk, name="Nora")
    seen = len(outside[0].seen)
    with pytest.raises(answering.ApiError) as refused:
        asked(knowing)
    assert refused.value.code == "insufficient_quota" and len(outside[0].seen) == seen


def test_what_is_held_for_an_answer_stays_held_for_as_long_as_it_takes(
    make_minion, outside, alice, monkeypatch
):
    monkeypatch.setattr("ledger.holding_on.RENEW_SECONDS", 0.02)
    minion = make_minion()
    set_budget(owner=alice, limit=1, scope="minion", minion_id=minion.pk, name="Nora")
    outside[0].pause = 0.05

    def nearly_over() -> int:
        """As a quarter of an hour later; how many the sweep gives back."""
        Reservation.objects.update(expires_at=timezone.now() + timedelta(seconds=0.01))
        return Reservation.objects.count()

    async def ask_slowly() -> list[int]:
        under_way = await answering.begin(Asked(minion_id=minion.pk, question=HELLO, source="api"))
        async with aclosing(under_way.events()) as events:
            async for event in events:
                if isinstance(event, Said) and event.text == "The ":
                    there = await in_database(nearly_over)
                    await asyncio.sleep(0.1)
                    left = await in_database(budgets.release_expired)
        return [there, left]

    assert async_to_sync(ask_slowly)() == [1, 0]
    assert not Reservation.objects.exists()
    counter = Counter.objects.get()
    assert (counter.spent, counter.reserved) == (UsageLine.objects.get().nanos, 0)
