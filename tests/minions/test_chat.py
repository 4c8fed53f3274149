"""The chat pages: questions, branches, opinions, how an answer came about; and that strangers see none of it."""

import asyncio
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient
from django.urls import reverse
from django.utils import timezone

from datasets_app.models import Dataset, Review
from minions import conversations, feedback, improving, sweeping
from minions.models import Feedback, Message, Minion, Writing
from minions.recipes import USUAL_KINDS
from tests.minions.conftest import FIRST, read_stream
from tests.providers.fakes import Fault

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def browser(alice):
    client = AsyncClient()
    client.force_login(alice)
    return client


@pytest.fixture
def conversation(alice, make_minion):
    return conversations.begin_conversation(owner=alice, minion=make_minion())


def say(browser, conversation, text="Hello?"):
    return read_stream(browser, reverse("minions:conversation-ask", args=[conversation.pk]), {"text": text})


def again(browser, message):
    return read_stream(browser, reverse("minions:message-again", args=[message.pk]), {})


def page(client, conversation):
    return client.get(reverse("minions:conversation", args=[conversation.pk])).content.decode()


def post(client, name, message, **fields):
    return client.post(reverse(f"minions:{name}", args=[message.pk]), fields)


def answers(conversation):
    return list(conversation.messages.filter(role="assistant"))


def test_a_question_streams_its_answer_and_the_page_shows_what_was_kept(
    browser, alice_client, conversation, outside
):
    assert "Ask Nora something." in page(alice_client, conversation)
    status, events = say(browser, conversation)
    assert status == 200 and events[-1]["done"]["model"] == "gpt-4o-mini"
    shown = page(alice_client, conversation)
    assert "The first says so." in shown and "gpt-4o-mini" in shown
    (answer,) = answers(conversation)
    assert (answer.status, answer.trace.provider) == (Writing.DONE, "openai")


def test_what_is_written_is_never_markup(browser, alice_client, conversation, outside):
    outside[0].answer = "<script>alert(1)</script> {{ persona }} [1]"
    say(browser, conversation, "<b>{{ x }}</b>")
    shown = page(alice_client, conversation)
    assert "<script>alert" not in shown and "&lt;script&gt;" in shown
    assert "&lt;b&gt;{{ x }}&lt;/b&gt;" in shown


def test_an_answer_in_markdown_is_shown_as_it_is_meant_and_copied_as_it_was_written(
    browser, alice_client, conversation, outside
):
    outside[0].answer = "**High** water:\n\n- at six\n- at [seven](https://example.org)"
    say(browser, conversation, "**When**?")
    turns = alice_client.get(reverse("minions:conversation-turns", args=[conversation.pk])).content.decode()
    assert "<strong>High</strong>" in turns and "<li>at six</li>" in turns and "nofollow" in turns
    # What a person typed stays as it was typed.
    assert "**When**?" in turns
    (answer,) = answers(conversation)
    assert f'data-copies="words-{answer.pk}"' in turns and "**High** water:" in turns


def test_an_answer_that_breaks_off_is_marked_and_one_click_asks_again(
    browser, alice_client, conversation, outside
):
    outside[0].script.append(Fault(after=4, how="cut"))
    _status, events = say(browser, conversation)
    assert events[-1]["broken"] and "broke off" in events[-1]["error"]
    shown = page(alice_client, conversation)
    (broken,) = answers(conversation)
    assert broken.status == Writing.BROKEN and broken.text == "The first "
    assert "This answer broke off." in shown and reverse("minions:message-again", args=[broken.pk]) in shown
    _status, events = again(browser, broken)
    assert events[-1]["done"]["status"] == "done"
    assert "2 of 2" in page(alice_client, conversation)


def test_when_the_next_one_answers_the_page_says_so(browser, alice_client, conversation, outside):
    outside[0].script.append(Fault(after=1, how="cut"))
    _status, events = say(browser, conversation)
    assert any("switched" in event for event in events)
    shown = page(alice_client, conversation)
    assert "The second says so." in shown and "was asked in place of openai/gpt-4o-mini" in shown


def test_a_question_that_nobody_answers_says_what_to_do(browser, alice_client, conversation, outside):
    for fake in outside:
        fake.script.append(Fault(status=500, body={"error": {"message": "Busy."}}))
    _status, events = say(browser, conversation)
    assert "No outside model answered" in events[-1]["error"]
    assert "There is no answer." in page(alice_client, conversation)


def leave_at(browser, conversation, mark: bytes) -> bytes:
    """What had been read when its reader left, at the first part that holds `mark`."""
    parts = []

    async def leave():
        has_begun = asyncio.Event()

        async def read():
            response = await browser.post(
                reverse("minions:conversation-ask", args=[conversation.pk]), {"text": "Hi"}
            )
            async for part in response:
                parts.append(part)
                if mark in part:
                    has_begun.set()

        # A server cancels the task whose reader has left.
        reading = asyncio.create_task(read())
        await has_begun.wait()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)

    async_to_sync(leave)()
    return b"".join(parts)


def test_a_reader_who_leaves_ends_the_answer_and_what_had_come_is_kept(browser, conversation, outside):
    first, _second = outside
    first.pause = 0.05
    leave_at(browser, conversation, b"delta")
    (answer,) = answers(conversation)
    assert (answer.status, answer.text) == (Writing.STOPPED, "The ")


def test_a_changed_question_begins_a_branch_and_the_old_one_stays(
    browser, alice_client, conversation, outside
):
    say(browser, conversation, "First words?")
    question = conversation.messages.get(role="user")
    url = reverse("minions:message-change", args=[question.pk])
    read_stream(browser, url, {"text": "Other words?"})
    turns = reverse("minions:conversation-turns", args=[conversation.pk])
    shown = alice_client.get(turns).content.decode()
    assert "Other words?" in shown and "First words?" not in shown
    assert outside[0].seen[-1].body["messages"][-1]["content"] == "Other words?"
    branch = post(alice_client, "message-show", question).content.decode()
    assert "First words?" in branch and "1 of 2" in branch


def test_the_first_question_names_the_conversation_and_it_can_be_named_otherwise(
    browser, alice_client, conversation, outside
):
    side = reverse("minions:conversation-side", args=[conversation.pk])
    assert "New conversation" in alice_client.get(side).content.decode()
    say(browser, conversation, "When does the gate open?\nPlease.")
    shown = alice_client.get(side).content.decode()
    assert 'aria-current="page"><b data-title>When does the gate open?</b>' in shown
    rename = reverse("minions:conversation-rename", args=[conversation.pk])
    assert alice_client.post(rename, {"title": "  "}).url == reverse(
        "minions:conversation", args=[conversation.pk]
    )
    conversation.refresh_from_db()
    assert conversation.title == "When does the gate open?"
    answer = alice_client.post(rename, {"title": "The gate <b>", "from": "list"}, follow=True)
    assert answer.redirect_chain[-1][0] == reverse("minions:conversation-list")
    assert "The gate &lt;b&gt;" in answer.content.decode()
    say(browser, conversation, "And when does it close?")
    conversation.refresh_from_db()
    assert conversation.title == "The gate <b>"
    assert (
        alice_client.post(reverse("minions:conversation-delete", args=[conversation.pk])).status_code == 302
    )
    assert "No conversation yet." in alice_client.get(reverse("minions:conversation-list")).content.decode()


def test_how_a_model_thought_is_shown_folded_and_never_goes_back_to_it(
    browser, alice_client, conversation, outside
):
    outside[0].thought = "They ask <b>when</b>. I know that."
    _status, events = say(browser, conversation)
    assert "".join(event.get("thought", "") for event in events) == outside[0].thought
    assert "".join(event.get("delta", "") for event in events) == "The first says so."
    (answer,) = answers(conversation)
    assert answer.text == "The first says so."
    shown = page(alice_client, conversation)
    assert "How it thought" in shown and "They ask &lt;b&gt;when&lt;/b&gt;. I know that." in shown
    say(browser, conversation, "And then?")
    assert "I know that" not in str(outside[0].seen[-1].body["messages"])


def test_thoughts_come_while_it_thinks_and_are_not_the_first_word(
    browser, alice_client, conversation, outside
):
    first, second = outside
    first.thought, second.thought = "They ask me. Do I", "I know <i>it</i>."
    first.script.append(Fault(after=5, how="cut"))  # after three of its thoughts
    _status, events = say(browser, conversation)
    told = [next(iter(event)) for event in events]
    assert told[: told.index("delta")] == [
        "stage", "thought", "thought", "thought", "thought_dropped", "switched", "thought", "thought", "thought",
    ]  # fmt: skip
    assert [event["model"] for event in events if "thought" in event] == 3 * ["openai/gpt-4o-mini"] + 3 * [
        "nvidia/meta/llama-3.1-8b-instruct"
    ]
    assert events[4] == {"thought_dropped": {"model": "openai/gpt-4o-mini"}}
    shown = page(alice_client, conversation)
    assert "I know &lt;i&gt;it&lt;/i&gt;." in shown and "They ask me." not in shown
    (answer,) = answers(conversation)
    assert answer.text == "The second says so."
    # What was thought in vain is with the try that it belongs to.
    how = alice_client.get(reverse("minions:message-trace", args=[answer.pk])).content.decode()
    assert "How openai/gpt-4o-mini thought before it failed" in how and "They ask me. " in how


def test_where_nobody_answers_the_page_says_who_thought_what(browser, alice_client, conversation, outside):
    first, second = outside
    first.thought = "They ask me. Do I"
    first.script.append(Fault(after=5, how="cut"))
    second.script.append(Fault(status=500, body={"error": {"message": "Busy."}}))
    _status, events = say(browser, conversation)
    assert "No outside model answered" in events[-1]["error"]
    shown = page(alice_client, conversation)
    assert "There is no answer." in shown and "How openai/gpt-4o-mini thought before it failed" in shown
    assert "They ask me. " in shown


def test_a_broken_answer_keeps_what_was_thought(browser, alice_client, conversation, outside):
    outside[0].thought = "They ask me."
    outside[0].script.append(Fault(after=7, how="cut"))
    _status, events = say(browser, conversation)
    assert events[-1]["broken"] and not any("thought_dropped" in event for event in events)
    (answer,) = answers(conversation)
    assert (answer.status, answer.text) == (Writing.BROKEN, "The first ")
    shown = page(alice_client, conversation)
    assert "This answer broke off." in shown and "They ask me." in shown


def test_who_stops_it_while_it_thinks_ends_it_there_and_keeps_its_thoughts(
    browser, alice_client, conversation, outside
):
    first, second = outside
    first.pause, first.thought = 0.05, "one two three four five six seven eight nine ten eleven twelve"
    reads = leave_at(browser, conversation, b"thought")
    assert b"delta" not in reads
    (answer,) = answers(conversation)
    assert (answer.status, answer.text) == (Writing.STOPPED, "")
    thought = answer.trace.stages[0]["thought"]
    assert thought.startswith("one ") and "twelve" not in thought and not second.seen
    assert first.left == 1
    # Its provider bills what it thought.
    (beside,) = answer.trace.stages[0]["beside"]
    assert beside["is_estimated"] and beside["output_tokens"] > 0
    shown = page(alice_client, conversation)
    assert "You stopped it here." in shown and thought.strip() in shown


@pytest.mark.parametrize("text", ["", "   ", "x" * 32_001])
def test_what_is_no_question_is_refused_in_plain_words(browser, conversation, text, outside):
    status, (words,) = say(browser, conversation, text)
    assert status == 400 and "question" in words
    assert not Message.objects.exists()


def test_how_it_was_answered_shows_stages_with_what_each_was_told(
    browser, alice_client, conversation, outside
):
    say(browser, conversation)
    shown = alice_client.get(
        reverse("minions:message-trace", args=[answers(conversation)[0].pk])
    ).content.decode()
    assert "You are Nora." in shown and "What it was told" in shown
    assert "first in the chain" in shown and "genai-prices" in shown


def test_opinions_are_kept_offered_to_the_review_and_become_examples(
    browser, alice_client, conversation, outside
):
    say(browser, conversation)
    (first,) = answers(conversation)
    outside[0].answer = "Another way."
    again(browser, first)
    second = answers(conversation)[1]

    post(alice_client, "message-rate", first, kind="good")
    assert Feedback.objects.get(message=first).kind == "good"
    post(alice_client, "message-rate", first, kind="bad")
    assert [each.kind for each in first.feedback.all()] == ["bad"]
    post(alice_client, "message-edit", second, text="A better way.")
    assert post(alice_client, "message-pick", second, over=first.pk).status_code == 200

    reviews = {
        review.row["messages"][-1]["content"]: review for review in Review.objects.filter(source="chat")
    }
    assert reviews["The first says so."].verdict == "reject"
    assert reviews["Another way."].verdict == "star"
    assert reviews["Another way."].edited["messages"][-1]["content"] == "A better way."

    minion = conversation.minion
    assert improving.learnable(minion) == improving.Learnable(sft=1, preference=2)
    assert improving.sft_rows(minion)[0]["messages"] == [
        {"role": "system", "content": "You are Nora."},
        {"role": "user", "content": "Hello?"},
        {"role": "assistant", "content": "A better way."},
    ]
    picked = improving.preference_rows(minion)
    assert [(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in picked] == [
        ("A better way.", "Another way."),
        ("Another way.", "The first says so."),
    ]
    answer = alice_client.post(reverse("minions:minion-improve", args=[minion.pk]), {"kind": "preference"})
    assert answer.status_code == 302 and answer.url.startswith("/teach/?dataset=")
    assert alice_client.get(answer.url).status_code == 200
    assert Dataset.objects.get(description__startswith="minion:").name == "Nora: comparisons"
    # Nothing new: the set stays, and the page says so.
    again_url = alice_client.post(reverse("minions:minion-improve", args=[minion.pk]), {"kind": "preference"})
    assert again_url.url == reverse("minions:minion-detail", args=[minion.pk])


def test_an_opinion_that_cannot_be_is_refused(browser, alice_client, conversation, outside):
    say(browser, conversation)
    (answer,) = answers(conversation)
    question = conversation.messages.get(role="user")
    assert post(alice_client, "message-rate", answer, kind="superb").status_code == 400
    assert post(alice_client, "message-edit", answer, text=answer.text).status_code == 400
    assert post(alice_client, "message-pick", answer, over=answer.pk).status_code == 400
    assert post(alice_client, "message-rate", question, kind="good").status_code == 400


def test_the_pages_of_a_minion_are_filled_in_and_save(alice_client, keys, outside):
    form = {
        "name": "Nora", "persona": "You are Nora.", "mode": "provider_only", "adapter_role": "drafter",
        "choosing": "in_order", "style_tokens": 300, "knowledge_tokens": 1500, "history_tokens": 3000,
        "answer_tokens": 800, "passages": 6, "temperature": 0.3, "on_style_failure": "skip",
        "on_knowledge_failure": "skip", "on_answer_failure": "fall_back", "requests_per_minute": 60,
        "chain-TOTAL_FORMS": 2, "chain-INITIAL_FORMS": 0, "chain-0-source": f"openai|{keys[0].pk}",
        "chain-0-model": "gpt-4o-mini", "chain-0-most_cost": "0.05", "chain-0-has_tools": "on",
        "chain-0-falls_back_on": ["rate", "overload"], "chain-1-source": "openai|", "chain-1-model": "",
    }  # fmt: skip
    empty = alice_client.get(reverse("minions:minion-add")).context["links"][0]
    # Who opens no fold gets the usual conditions.
    assert empty["falls_back_on"].value() == list(USUAL_KINDS) and empty["retries"].value() == 1
    refused = alice_client.post(reverse("minions:minion-add"), form | {"chain-0-model": ""})
    assert refused.status_code == 422 and "Name an outside model" in refused.content.decode()
    answer = alice_client.post(reverse("minions:minion-add"), form)
    assert answer.status_code == 302, answer.content.decode()[:3000]
    minion = Minion.objects.get()
    assert minion.chain == [
        {"provider": "openai", "model": "gpt-4o-mini", "key": str(keys[0].pk), "most_cost": "0.05",
         "first_seconds": None, "context": None, "has_tools": True, "retries": 0,
         "falls_back_on": ["overload", "rate"]}
    ]  # fmt: skip
    edit = alice_client.get(reverse("minions:minion-edit", args=[minion.pk])).content.decode()
    assert 'value="gpt-4o-mini"' in edit
    changed = form | {"name": "Norah", "chain-INITIAL_FORMS": 1}
    assert alice_client.post(reverse("minions:minion-edit", args=[minion.pk]), changed).status_code == 302
    minion.refresh_from_db()
    assert minion.name == "Norah" and minion.versions.count() == 2
    detail = reverse("minions:minion-detail", args=[minion.pk])
    token = alice_client.post(reverse("minions:minion-token", args=[minion.pk])).content.decode()
    assert "minion_" in token.partition('id="new-token-text">')[2][:60]
    assert "minion_" not in alice_client.get(detail).content.decode()
    # Rows that were moved and taken away on the page come numbered anew; one that did not change stays.
    second = {"chain-1-source": "nvidia|", "chain-1-model": "two", "chain-1-has_tools": "on", "chain-1-retries": 1,
              "chain-1-falls_back_on": list(USUAL_KINDS)}  # fmt: skip
    edit_url = reverse("minions:minion-edit", args=[minion.pk])
    assert alice_client.post(edit_url, changed | second | {"chain-INITIAL_FORMS": 0}).status_code == 302
    first = {f"chain-0-{name.removeprefix('chain-1-')}": value for name, value in second.items()}
    for wanted, fields in (
        (["gpt-4o-mini", "two"], second), (["two"], first | {"chain-TOTAL_FORMS": 1}),
        (["two"], first | {"chain-TOTAL_FORMS": 1}),
    ):  # fmt: skip
        sent = changed | fields | {"chain-INITIAL_FORMS": 0}
        assert alice_client.post(edit_url, sent).status_code == 302
        minion.refresh_from_db()
        assert [link["model"] for link in minion.chain] == wanted
    for url in (
        reverse("minions:minion-list"),
        reverse("minions:conversation-list"),
        reverse("minions:profile"),
    ):
        assert alice_client.get(url).status_code == 200
    assert alice_client.post(reverse("minions:minion-delete", args=[minion.pk])).status_code == 302
    assert not Minion.objects.exists()


def test_mallory_finds_none_of_it(browser, mallory_client, conversation, outside):
    say(browser, conversation, "A secret question")
    (answer,) = answers(conversation)
    minion = conversation.minion
    for name in ("conversation", "conversation-turns", "conversation-side"):
        assert mallory_client.get(reverse(f"minions:{name}", args=[conversation.pk])).status_code == 404
    for name in ("conversation-ask", "conversation-rename", "conversation-delete"):
        url = reverse(f"minions:{name}", args=[conversation.pk])
        assert mallory_client.post(url, {"text": "x"}).status_code == 404, name
    for name in ("again", "change", "show", "rate", "edit", "pick"):
        assert post(mallory_client, f"message-{name}", answer, kind="good", text="x").status_code == 404, name
    assert mallory_client.get(reverse("minions:message-trace", args=[answer.pk])).status_code == 404
    for name in ("edit", "delete", "token", "token-end", "improve"):
        assert mallory_client.post(reverse(f"minions:minion-{name}", args=[minion.pk])).status_code == 404, (
            name
        )
    assert mallory_client.post(reverse("minions:chat-begin", args=[minion.pk])).status_code == 404
    shown = mallory_client.get(reverse("minions:conversation-list")).content.decode()
    assert "A secret question" not in shown
    assert mallory_client.get(f"{reverse('minions:conversation-list')}?minion={minion.pk}").status_code == 404
    assert Minion.objects.filter(pk=minion.pk).exists() and not Feedback.objects.exists()


def test_her_own_minion_cannot_be_given_alices_things(mallory_client, mallory, make_minion, keys):
    hers = make_minion(owner=mallory, chain=[FIRST])
    form = {"name": "X", "mode": "provider_only", "chain-0-source": f"openai|{keys[0].pk}", "chain-0-model": "m",
            "chain-TOTAL_FORMS": 1, "chain-INITIAL_FORMS": 1}  # fmt: skip
    answer = mallory_client.post(reverse("minions:minion-edit", args=[hers.pk]), form)
    assert answer.status_code == 422
    hers.refresh_from_db()
    assert hers.name == "Nora"


def test_an_opinion_needs_an_answer(alice, make_minion):
    conversation = conversations.begin_conversation(owner=alice, minion=make_minion())
    _question, answer = conversations.ask(conversation=conversation, text="Hello?")
    with pytest.raises(feedback.BadFeedback):
        feedback.rate(answer=answer, kind="good")


def test_an_answer_that_nobody_writes_any_more_is_ended(alice, make_minion):
    conversation = conversations.begin_conversation(owner=alice, minion=make_minion())
    _question, answer = conversations.ask(conversation=conversation, text="Hello?")
    assert sweeping.sweep() == 0
    Message.objects.filter(pk=answer.pk).update(
        created_at=timezone.now() - sweeping.LONGEST - timedelta(minutes=1)
    )
    assert sweeping.sweep() == 1
    answer.refresh_from_db()
    assert answer.status == Writing.BROKEN and "server stopped" in answer.problem
