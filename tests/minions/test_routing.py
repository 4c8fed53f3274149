"""The router over real (local) providers: each kind of failure, each condition, tries, rest, two at once."""

import re
from contextlib import aclosing

import pytest
from asgiref.sync import async_to_sync
from django.urls import reverse

from ledger.models import UsageLine
from minions import health
from minions.answering import Asked, begin
from minions.flow import NoAnswer, Question, Said
from minions.models import AnswerTrace
from minions.recipes import KINDS, USUAL_KINDS, Link
from minions.thinking import Thought, ThoughtsDropped
from tests.minions.conftest import FIRST, SECOND
from tests.minions.test_answering import HELLO, asked
from tests.providers.fakes import Fault
from tests.providers.test_table import REFUSALS

pytestmark = pytest.mark.django_db(transaction=True)
CUT = Fault(after=0, how="cut")
REFUSED = {kind: CUT if kind == "network" else REFUSALS["openai"][kind] for kind in (*KINDS, "bad_request")}
AGAIN = {"rate", "overload", "network"}


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr("minions.trials.pause", lambda _attempt, _asked: 0)


@pytest.mark.parametrize("kind", list(REFUSED))
def test_a_kind_of_failure_is_tried_again_and_sends_the_question_on_as_the_link_says(
    make_minion, outside, kind
):
    first, second = outside
    minion = make_minion(chain=[FIRST | {"retries": 2, "falls_back_on": list(KINDS)}, SECOND])
    first.script += [REFUSED[kind]] * 3
    under_way, _events = asked(minion)
    tries = 3 if kind in AGAIN else 1
    attempts = under_way.trace.stages[0].attempts
    assert [attempt.kind for attempt in attempts] == [kind] * tries and len(first.seen) == tries
    # What is wrong with the question itself would be wrong everywhere.
    assert len(second.seen) == (0 if kind == "bad_request" else 1)
    assert isinstance(under_way.problem, NoAnswer) == (kind == "bad_request")
    assert kind == "bad_request" or under_way.trace.why == f"openai/gpt-4o-mini failed ({kind})"


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_link_leaves_out_ends_the_question_there(make_minion, outside, kind):
    others = [each for each in USUAL_KINDS if each != kind]
    outside[0].script.append(REFUSED[kind])
    under_way, _events = asked(make_minion(chain=[FIRST | {"falls_back_on": others}, SECOND]))
    assert isinstance(under_way.problem, NoAnswer) and not outside[1].seen
    assert under_way.trace.stages[0].attempts[0].kind == kind


TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}
LONG = Question(messages=[{"role": "user", "content": "word " * 3000}])


@pytest.mark.parametrize(
    ("condition", "question", "why"),
    [
        ({"most_cost": "0.0001"}, LONG, "more than $0.0001"),
        ({"context": 4000}, LONG, "do not fit its 4000"),
        ({"has_tools": False}, Question(messages=HELLO.messages, tools=(TOOL,)), "it takes no tools"),
        ({"first_seconds": 1}, HELLO, "its first words took 3.0 s of late"),
    ],
)
def test_a_link_whose_condition_does_not_hold_is_passed_over_and_it_is_said(
    make_minion, outside, alice, condition, question, why
):
    minion = make_minion(chain=[FIRST | condition, SECOND])
    link = Link("openai", "gpt-4o-mini")
    async_to_sync(health.note_answer)(str(alice.pk), link, 3.0 if "first_seconds" in condition else 0.1)
    under_way, _events = asked(minion, question)
    assert under_way.trace.provider == "nvidia" and not outside[0].seen
    (passed,) = AnswerTrace.objects.get().stages[0]["passed_over"]
    assert passed["model"] == "openai/gpt-4o-mini" and why in passed["why"]
    assert why in under_way.trace.why


@pytest.mark.parametrize(
    "condition", [{"most_cost": "1"}, {"context": 4000}, {"has_tools": False}, {"first_seconds": 5}]
)
def test_a_condition_that_holds_changes_nothing(make_minion, outside, condition):
    under_way, _events = asked(make_minion(chain=[FIRST | condition, SECOND]))
    assert (under_way.trace.provider, under_way.trace.why) == ("openai", "first in the chain")


def test_one_that_failed_three_times_is_left_alone_and_then_tried_by_one_question(
    make_minion, outside, monkeypatch, alice_client
):
    first, second = outside
    minion = make_minion()
    first.script += [REFUSED["overload"]] * 3
    for _ in range(3):
        asked(minion)
    under_way, _events = asked(minion)
    assert len(first.seen) == 3 and len(second.seen) == 4
    assert "openai/gpt-4o-mini was passed over: it failed several times" in under_way.trace.why
    shown = alice_client.get(reverse("minions:minion-detail", args=[minion.pk])).content.decode()
    assert (
        re.search(r"failed several times, left alone for 1\d s more", shown)
        and "of late first words after" in shown
    )
    told = alice_client.get(f"/api/v1/minions/{minion.pk}/stats/").json()["chain"]
    assert 10 <= told[0]["rests_for"] <= 15 and told[1]["rests_for"] == 0 and told[1]["seen_seconds"] >= 0
    now = health.time.time()
    monkeypatch.setattr(health.healths, "__defaults__", (lambda: now + health.FIRST_REST + 1,))
    under_way, _events = asked(minion)
    assert (under_way.trace.provider, len(first.seen)) == ("openai", 4)
    under_way, _events = asked(minion)  # well again
    assert under_way.trace.why == "first in the chain"


def test_a_question_that_may_try_an_ill_link_does_so_also_as_its_second(make_minion, outside, alice):
    second = Link("nvidia", SECOND["model"])
    for _ in range(3):
        async_to_sync(health.note_failure)(
            str(alice.pk), second, "overload", lambda: 1_000.0
        )  # long ago: it has rested
    outside[0].script.append(REFUSED["overload"])
    under_way, _events = asked(make_minion())
    assert under_way.trace.provider == "nvidia"


def test_of_a_model_that_stands_twice_the_ledger_has_its_own_name(make_minion, outside):
    outside[0].script.append(REFUSED["overload"])
    under_way, _events = asked(make_minion(chain=[FIRST, FIRST | {"retries": 1}]))
    assert under_way.trace.stages[0].attempts[0].model == "openai/gpt-4o-mini, number 1"
    assert [(line.provider, line.model) for line in UsageLine.objects.all()] == [
        ("openai", "gpt-4o-mini")
    ] * 2


def test_when_all_are_left_alone_the_refusal_says_for_how_long(make_minion, outside):
    minion = make_minion(chain=[FIRST])
    outside[0].script += [REFUSED["overload"]] * 3
    for _ in range(3):
        asked(minion)
    under_way, _events = asked(minion)
    assert isinstance(under_way.problem, NoAnswer) and len(outside[0].seen) == 3
    assert "left alone for" in str(under_way.problem)


@pytest.mark.parametrize("faster", [0, 1])
def test_of_two_at_once_the_first_to_speak_answers_and_the_other_is_closed(
    make_minion, outside, monkeypatch, faster
):
    monkeypatch.setattr("minions.asking.HEDGE_SECONDS", 0.05)
    slower = outside[1 - faster]
    slower.pause, outside[faster].pause = 0.5, 0.12  # both are slower to begin than the hedge waits
    under_way, _events = asked(make_minion(choosing="hedged"))
    assert under_way.text == outside[faster].answer and len(slower.seen) == 1
    assert under_way.trace.provider == ("openai", "nvidia")[faster]
    assert slower.left == 1


def test_a_model_that_is_tried_again_thinks_anew(make_minion, outside):
    outside[0].thought = "They ask me."
    outside[0].script.append(Fault(after=3, how="cut"))  # after its first thought
    under_way, events = asked(make_minion(chain=[FIRST | {"retries": 1}, SECOND]))
    told = [event for event in events if isinstance(event, Thought | ThoughtsDropped)]
    name = "openai/gpt-4o-mini"
    assert told[:2] == [Thought(name, "They "), ThoughtsDropped(name)]
    assert "".join(event.text for event in told[2:]) == "They ask me."
    assert under_way.text == "The first says so." and not outside[1].seen
    (stage,) = under_way.trace.stages
    assert (stage.attempts[0].thought, stage.thought) == ("They ", "They ask me.")


def test_two_may_think_side_by_side_and_only_who_answers_keeps_its_thoughts(
    make_minion, outside, monkeypatch
):
    monkeypatch.setattr("minions.asking.HEDGE_SECONDS", 0.05)
    first, second = outside
    first.thought, first.pause = "one two three four five six seven eight nine ten", 0.1
    second.thought, second.pause = "I know it.", 0.06
    under_way, events = asked(make_minion(choosing="hedged"))
    names = ("openai/gpt-4o-mini", f"nvidia/{SECOND['model']}")
    thinkers = {event.model for event in events if isinstance(event, Thought)}
    assert thinkers == set(names) and under_way.trace.provider == "nvidia"
    dropped = events.index(ThoughtsDropped(names[0]))
    assert not any(isinstance(event, Said) for event in events[:dropped])
    (stage,) = under_way.trace.stages
    assert stage.thought == "I know it." and first.left == 1
    # The first had read the question and thought: both are billed.
    assert stage.beside[0].provider == "openai" and stage.beside[0].output_tokens > 0


def test_who_leaves_as_one_of_two_begins_to_answer_pays_for_both(make_minion, outside, monkeypatch):
    monkeypatch.setattr("minions.asking.HEDGE_SECONDS", 0.05)
    first, second = outside
    first.thought, first.pause = "one two three four five six seven eight nine ten", 0.1
    second.thought, second.pause = "I know it.", 0.06

    async def leave():
        under_way = await begin(Asked(minion_id=minion.pk, question=HELLO, source="api"))
        async with aclosing(under_way.events()) as events:
            async for event in events:
                if isinstance(event, ThoughtsDropped):
                    return

    minion = make_minion(choosing="hedged")
    async_to_sync(leave)()
    lines = UsageLine.objects.filter(input_tokens__gt=0)
    assert {line.provider for line in lines} == {"openai", "nvidia"}
    assert all(line.output_tokens for line in lines)


def test_the_cheapest_first_goes_on_to_the_next_cheapest(make_minion, outside):
    chain = [FIRST | {"model": "gpt-5.1"}, FIRST | {"model": "gpt-4o-mini"}]
    outside[0].script.append(REFUSED["overload"])
    under_way, _events = asked(make_minion(chain=chain, choosing="cheapest_first"))
    assert [call.body["model"] for call in outside[0].seen] == ["gpt-4o-mini", "gpt-5.1"]
    assert under_way.trace.why == "openai/gpt-4o-mini failed (overload)"
