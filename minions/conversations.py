"""What people do in a conversation: begin one, ask, ask again, change a question, go to another branch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apex.common.states import move
from audit.models import Act
from audit.services import record_act
from minions.models import MOVES, AnswerTrace, Conversation, Message, Minion, Role, Writing

LONGEST_QUESTION = 32_000  # characters
MOST_MESSAGES = 2000  # of one conversation
TITLE = 60


class CannotAsk(ValueError):
    """This cannot be asked here; the message says why and what to do."""


def begin_conversation(*, owner, minion: Minion) -> Conversation:
    """`minion` is the owner's."""
    return Conversation.objects.create(owner=owner, minion=minion)


def ask(*, conversation: Conversation, text: str, behind: Message | None = None) -> tuple[Message, Message]:
    """The question and the answer that is to be written, behind `behind` (the last one shown, if it is left out).

    Raises CannotAsk.
    """
    text = _clean(text)
    with transaction.atomic():
        conversation = _locked(conversation)
        parent = behind or conversation.shown
        question = Message.objects.create(
            owner=conversation.owner, conversation=conversation, parent=parent, role=Role.USER, text=text
        )
        if not conversation.title:
            first_line = text.strip().splitlines()[0]
            conversation.title = first_line if len(first_line) <= TITLE else f"{first_line[: TITLE - 1]}…"
        return question, _begin_answer(conversation, question)


def ask_again(*, answer: Message) -> Message:
    """Another answer to the same question; the one before stays as a branch. Raises CannotAsk."""
    if answer.role != Role.ASSISTANT or answer.parent is None:
        raise CannotAsk(_("Only an answer can be asked for again."))
    with transaction.atomic():
        return _begin_answer(_locked(answer.conversation), answer.parent)


def change_question(*, question: Message, text: str) -> tuple[Message, Message]:
    """The question in other words, with an answer to it; what followed the old one stays as a branch."""
    if question.role != Role.USER:
        raise CannotAsk(_("Only a question can be changed."))
    text = _clean(text)
    with transaction.atomic():
        conversation = _locked(question.conversation)
        changed = Message.objects.create(
            owner=conversation.owner,
            conversation=conversation,
            parent=question.parent,
            role=Role.USER,
            text=text,
        )
        return changed, _begin_answer(conversation, changed)


def show_branch(*, message: Message) -> Message:
    """Lets the page show the branch of `message`, down to its newest end, which is returned."""
    end = message
    while child := end.children.order_by("-created_at").first():
        end = child
    Conversation.objects.filter(pk=message.conversation_id).update(shown=end)
    return end


def finish_answer(
    *,
    answer_id,
    status: str,
    text: str,
    citations: Sequence[dict[str, Any]] = (),
    trace: AnswerTrace | None = None,
    problem: str = "",
) -> bool:
    """Keeps what came of an answer, and what went wrong in words. False where it was finished before."""
    answer = Message.objects.filter(pk=answer_id).first()
    if answer is None:  # its conversation was deleted meanwhile
        return False
    # PostgreSQL keeps no U+0000, whatever a model writes.
    text = text.replace("\x00", "�")
    won = move(answer, status, moves=MOVES, text=text, citations=list(citations), trace=trace,
               problem=problem[:500])  # fmt: skip
    Conversation.objects.filter(pk=answer.conversation_id).update(changed_at=timezone.now())
    return won


def rename_conversation(*, conversation: Conversation, title: str) -> Conversation:
    conversation.title = title.strip()[:120]
    conversation.save(update_fields=["title"])
    return conversation


def delete_conversation(*, conversation: Conversation) -> None:
    """With its messages and opinions; how they were answered stays with the minion, without the words of the answer."""
    with transaction.atomic():
        # Its title is made of what was asked, which goes with it.
        record_act(Act.DELETED, subject=conversation, name=conversation.minion.name)
        conversation.delete()


def path_to(message: Message) -> list[Message]:
    """The branch from its first question to `message`, by one query."""
    every = {each.pk: each for each in message.conversation.messages.all()}
    path: list[Message] = []
    at: Message | None = every.get(message.pk)
    while at is not None:
        path.append(at)
        at = every.get(at.parent_id)
    return path[::-1]


def turns_before(answer: Message) -> list[dict[str, Any]]:
    """What was said up to the question that `answer` answers, as messages. Answers without words are left out."""
    return [
        {"role": each.role, "content": each.text}
        for each in path_to(answer)[:-1]
        if each.role == Role.USER or each.text
    ]


def _begin_answer(conversation: Conversation, question: Message) -> Message:
    answer = Message.objects.create(
        owner=conversation.owner, conversation=conversation, parent=question, role=Role.ASSISTANT,
        status=Writing.WRITING,
    )  # fmt: skip
    conversation.shown = answer
    conversation.save()
    return answer


def _locked(conversation: Conversation) -> Conversation:
    """Two tabs that ask at once wait for each other. Raises CannotAsk where there is no room."""
    conversation = (
        Conversation.objects.select_for_update(of=("self",))
        .select_related("owner", "shown")
        .get(pk=conversation.pk)
    )
    if conversation.messages.count() >= MOST_MESSAGES:
        raise CannotAsk(_("This conversation is full. Begin a new one."))
    return conversation


def _clean(text: str) -> str:
    text = text.replace("\x00", "").strip()
    if not text:
        raise CannotAsk(_("Write a question first."))
    if len(text) > LONGEST_QUESTION:
        raise CannotAsk(
            _(
                "A question has at most %(most)d characters; this one has %(count)d. Bring long texts as documents."
            )
            % {"most": LONGEST_QUESTION, "count": len(text)}
        )
    return text
