"""A question to a minion over real (local) providers: who answers, what is written down, what it costs."""

import asyncio
import threading
from contextlib import aclosing
from decimal import Decimal

import pytest
from asgiref.sync import async_to_sync

from ledger.models import Reservation, UsageLine
from ledger.services import set_budget
from minions import answering
from minions.answering import Asked
from minions.asking import Switched
from minions.flow import AnswerBroke, NoAnswer, Question, Said
from minions.models import AnswerStatus, AnswerTrace
from minions.services import change_minion
from providers.base import ProviderFailed
from tests.minions.conftest import FIRST, SECOND
from tests.providers.fakes import Fault

pytestmark = pytest.mark.django_db(transaction=True)
HELLO = Question(messages=[{"role": "user", "content": "Hello?"}])


async def ask(minion, question=HELLO, **more):
    """`(answering, events)`; what it raises is in `answering.problem`."""
    under_way = await answering.begin(Asked(minion_id=minion.pk, question=question, source="api", **more))
    events, under_way.problem = [], None
    try:
        async with aclosing(under_way.events()) as each:
            async for event in each:
                events.append(event)
    except Exception as problem:
        under_way.problem = problem
    return under_way, events


def asked(minion, question=HELLO, **more):
    return async_to_sync(ask)(minion, question, **more)


def trouble(times=1, status=500):
    return [
        Fault(status=status, body={"error": {"message": "Busy.", "type": "server_error"}})
        for _ in range(times)
    ]


def test_a_model_that_thinks_longer_than_it_may_be_silent_is_waited_for(make_minion, outside):
    outside[0].thought, outside[0].pause = "one two three four five six", 0.1
    under_way, events = asked(make_minion(chain=[FIRST | {"first_seconds": 0.4}, SECOND]))
    assert under_way.text == "The first says so." and not outside[1].seen
    assert under_way.trace.stages[0].thought == outside[0].thought
    assert "".join(event.thought for event in events if isinstance(event, Said)) == outside[0].thought


def test_of_two_of_the_same_name_the_trace_says_which_one_it_was(make_minion, outside):
    outside[0].script.extend(trouble())
    under_way, events = asked(make_minion(chain=[FIRST, FIRST]))
    (switched,) = [event for event in events if isinstance(event, Switched)]
    assert switched.model == "openai/gpt-4o-mini, number 2" and switched.before.endswith("number 1")
    (stage,) = under_way.trace.stages
    assert stage.attempts[0].model == "openai/gpt-4o-mini, number 1"
    assert stage.why == "openai/gpt-4o-mini, number 2: openai/gpt-4o-mini, number 1 failed (overload)"
    assert stage.cost is not None and under_way.trace.model == "gpt-4o-mini"


def test_the_first_of_the_chain_answers_under_the_persona(make_minion, outside):
    first, second = outside
    under_way, events = asked(make_minion())
    assert under_way.text == "The first says so."
    assert "".join(event.text for event in events if isinstance(event, Said)) == under_way.text
    assert first.seen[0].body["messages"] == [
        {"role": "system", "content": "You are Nora."},
        {"role": "user", "content": "Hello?"},
    ]
    assert not second.seen
    trace = AnswerTrace.objects.get()
    assert (trace.status, trace.provider, trace.model) == (AnswerStatus.DONE, "openai", "gpt-4o-mini")
    assert trace.why == "first in the chain"
    assert (trace.input_tokens, trace.output_tokens) == (19, 10)
    assert trace.own_ms < trace.first_ms <= trace.total_ms


def test_what_it_took_is_in_the_ledger_with_its_price(make_minion, outside, alice):
    minion = make_minion()
    asked(minion)
    line = UsageLine.objects.get()
    assert (line.owner, line.minion_id, line.provider, line.model) == (
        alice,
        minion.pk,
        "openai",
        "gpt-4o-mini",
    )
    assert (line.kind, line.input_tokens, line.output_tokens, line.cached_tokens) == (
        "provider_tokens",
        19,
        10,
        8,
    )
    assert line.money > 0 and line.price_source.startswith("genai-prices")
    assert AnswerTrace.objects.get().cost == pytest.approx(line.money, abs=Decimal("1e-8"))


def test_a_first_that_dies_before_its_first_word_is_replaced_and_it_is_said(make_minion, outside):
    first, second = outside
    first.script.append(Fault(after=1, how="cut"))
    under_way, events = asked(make_minion())
    assert under_way.text == "The second says so."
    switched = next(event for event in events if isinstance(event, Switched))
    assert (switched.before, switched.model) == ("openai/gpt-4o-mini", f"nvidia/{SECOND['model']}")
    stage = AnswerTrace.objects.get().stages[0]
    assert stage["attempts"][0]["model"] == "openai/gpt-4o-mini"
    assert "was asked in place of openai/gpt-4o-mini" in stage["done_about"]
    assert under_way.trace.why == "openai/gpt-4o-mini failed (network)"


@pytest.mark.parametrize("status", [500, 429, 401])
def test_trouble_a_limit_and_a_refused_key_all_send_the_question_on(make_minion, outside, status):
    outside[0].script += trouble(status=status)
    under_way, _events = asked(make_minion())
    assert under_way.text == "The second says so."


def test_one_that_breaks_off_in_the_middle_leaves_its_words_and_says_so(make_minion, outside):
    first, second = outside
    first.script.append(Fault(after=4, how="cut"))
    under_way, _events = asked(make_minion())
    assert isinstance(under_way.problem, AnswerBroke)
    assert under_way.text == "The first "
    trace = AnswerTrace.objects.get()
    assert (trace.status, trace.stages[0]["status"]) == (AnswerStatus.BROKEN, "broken")
    assert not second.seen  # words that were read are not taken back
    line = UsageLine.objects.get()
    assert line.is_estimated and line.output_tokens and line.outcome == "failed"


def test_when_nobody_answers_the_refusal_names_each_and_nothing_is_held(make_minion, outside):
    for fake in outside:
        fake.script += trouble()
    under_way, _events = asked(make_minion())
    assert isinstance(under_way.problem, NoAnswer)
    assert "openai/gpt-4o-mini" in str(under_way.problem) and "nvidia/" in str(under_way.problem)
    assert AnswerTrace.objects.get().status == AnswerStatus.FAILED
    # Each failed try is a line that costs nothing, so that what fails how often can be seen by model and minion.
    lines = UsageLine.objects.order_by("pk").values_list("provider", "model", "outcome", "error", "nanos")
    assert list(lines) == [
        ("openai", "gpt-4o-mini", "failed", "overload", 0),
        ("nvidia", SECOND["model"], "failed", "overload", 0),
    ]
    assert not Reservation.objects.exists()


def test_a_kind_of_failure_that_is_left_out_does_not_send_the_question_on(make_minion, outside):
    outside[0].script += trouble()
    minion = make_minion(chain=[FIRST | {"falls_back_on": ["rate"]}, SECOND])
    under_way, _events = asked(minion)
    assert isinstance(under_way.problem, NoAnswer)
    assert not outside[1].seen


def test_a_minion_that_shall_fail_at_once_does(make_minion, outside):
    outside[0].script += trouble()
    under_way, _events = asked(make_minion(on_answer_failure="fail"))
    assert isinstance(under_way.problem, NoAnswer) and not outside[1].seen


def test_a_retry_is_in_the_trace_and_the_first_answers_after_all(make_minion, outside):
    outside[0].script += trouble()
    under_way, _events = asked(make_minion(chain=[FIRST | {"retries": 1}, SECOND]))
    assert under_way.text == "The first says so."
    assert [attempt.kind for attempt in under_way.trace.stages[0].attempts] == ["overload"]


def test_one_that_is_silent_too_long_is_replaced(make_minion, outside):
    outside[0].script.append(Fault(after=0, how="silent"))
    under_way, _events = asked(make_minion(chain=[FIRST | {"first_seconds": 0.3}, SECOND]))
    assert under_way.text == "The second says so."
    assert "no word came within 0.3 s" in under_way.trace.stages[0].attempts[0].message


def test_a_slow_one_is_joined_by_the_next_where_the_minion_hedges(make_minion, outside, monkeypatch):
    monkeypatch.setattr("minions.asking.HEDGE_SECONDS", 0.1)
    outside[0].script.append(Fault(after=0, how="silent"))
    under_way, _events = asked(make_minion(choosing="hedged"))
    assert under_way.text == "The second says so."
    assert under_way.status == AnswerStatus.DONE


def test_the_cheapest_is_asked_first_where_the_minion_says_so(make_minion, outside):
    minion = make_minion(chain=[FIRST | {"model": "gpt-5.1"}, FIRST], choosing="cheapest_first")
    under_way, _events = asked(minion)
    assert under_way.trace.model == "gpt-4o-mini"
    assert "the cheapest that fits" in under_way.trace.why


def test_a_change_holds_from_the_next_question_on_and_answers_keep_their_version(make_minion, outside):
    minion = make_minion()
    before, _events = asked(minion)
    change_minion(minion=minion, chain=[SECOND, FIRST], persona="You are Nora, but short.")
    after, _events = asked(minion)
    assert (before.text, after.text) == ("The first says so.", "The second says so.")
    old, new = AnswerTrace.objects.order_by("created_at")
    assert (old.version.number, new.version.number) == (1, 2)
    assert old.version.recipe["persona"] == "You are Nora."


def test_a_minion_that_is_saved_as_it_was_gets_no_new_version(make_minion):
    minion = make_minion()
    change_minion(minion=minion, persona=minion.persona, requests_per_minute=3)
    assert minion.versions.count() == 1


def test_closing_an_answer_closes_its_upstream_and_keeps_what_had_come(make_minion, outside):
    first, _second = outside
    first.pause = 0.05

    async def leave():
        under_way = await answering.begin(Asked(minion_id=minion.pk, question=HELLO, source="api"))
        async with aclosing(under_way.events()) as events:
            async for event in events:
                if isinstance(event, Said) and event.text:
                    break
        for _ in range(40):
            if first.left:
                break
            await asyncio.sleep(0.05)
        return under_way

    minion = make_minion()
    under_way = async_to_sync(leave)()
    assert first.left == 1
    assert under_way.status == AnswerStatus.STOPPED and under_way.text == "The "
    assert AnswerTrace.objects.get().status == AnswerStatus.STOPPED
    assert UsageLine.objects.get().is_estimated


def test_more_questions_than_a_minute_allows_are_refused(make_minion, outside):
    minion = make_minion(requests_per_minute=2)
    asked(minion)
    asked(minion)
    with pytest.raises(answering.limits.TooManyQuestions) as refused:
        asked(minion)
    assert 0 < refused.value.retry_after <= 60
    assert len(outside[0].seen) == 2


def test_a_budget_that_is_too_small_refuses_with_the_arithmetic_before_anything_is_asked(
    make_minion, outside, alice
):
    minion = make_minion()
    set_budget(owner=alice, limit=Decimal("0.000001"), scope="minion", minion_id=minion.pk, name="Nora")
    with pytest.raises(answering.ApiError) as refused:
        asked(minion)
    assert refused.value.code == "insufficient_quota"
    assert "could cost up to" in str(refused.value)
    assert not outside[0].seen and not Reservation.objects.exists()


def test_a_budget_that_is_large_enough_is_settled(make_minion, outside, alice):
    minion = make_minion()
    set_budget(owner=alice, limit=Decimal("1"), scope="minion", minion_id=minion.pk, name="Nora")
    asked(minion)
    assert not Reservation.objects.exists()
    assert UsageLine.objects.get().money > 0


def test_without_a_key_the_answer_says_what_to_do(make_minion, outside, alice):
    for key in alice_keys(alice):
        key.delete()
    under_way, _events = asked(make_minion(chain=[FIRST]))
    assert isinstance(under_way.problem, NoAnswer) and "no key" in str(under_way.problem).lower()


def alice_keys(alice):
    from providers.models import ProviderKey

    return ProviderKey.objects.for_user(alice)


def test_tools_reach_the_outside_model_and_their_calls_come_back(make_minion, outside):
    tool = {"type": "function", "function": {"name": "weather", "description": "d",
            "parameters": {"type": "object", "properties": {}}}}  # fmt: skip
    question = Question(messages=HELLO.messages, tools=(tool,))
    minion = make_minion(chain=[FIRST | {"has_tools": False}, SECOND])
    under_way, events = asked(minion, question)
    calls = [call for event in events if isinstance(event, Said) for call in event.tool_calls]
    assert calls[0]["function"]["name"] == "weather"
    assert under_way.trace.provider == "nvidia"
    assert under_way.trace.stages[0].passed_over[0]["why"] == "it takes no tools"


def test_a_failure_has_one_of_the_kinds_that_chains_know():
    from minions.recipes import KINDS

    for kind in KINDS:
        assert ProviderFailed("x", kind=kind).kind == kind


def test_who_leaves_while_it_is_held_gets_it_back(make_minion, outside, alice, monkeypatch):
    minion = make_minion()
    set_budget(owner=alice, limit=Decimal("1"), scope="minion", minion_id=minion.pk, name="Nora")
    held, may_go_on = threading.Event(), threading.Event()
    prepare = answering._prepare

    def slowly(*arguments):
        prepared = prepare(*arguments)
        held.set()
        may_go_on.wait(10)
        return prepared

    monkeypatch.setattr(answering, "_prepare", slowly)

    async def leave():
        asking = asyncio.create_task(
            answering.begin(Asked(minion_id=minion.pk, question=HELLO, source="api"))
        )
        await asyncio.to_thread(held.wait, 10)
        asking.cancel()
        await asyncio.sleep(0)
        may_go_on.set()
        return await asyncio.gather(asking, return_exceptions=True)

    (ended,) = async_to_sync(leave)()
    assert isinstance(ended, asyncio.CancelledError)
    assert not Reservation.objects.exists() and not outside[0].seen
