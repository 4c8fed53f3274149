"""Thumbs, edits and picks: kept with the answer, and offered to the review of examples (gold stars)."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from datasets_app.models import ReviewSource, ReviewVerdict
from datasets_app.services import record_review
from minions.conversations import path_to
from minions.models import Feedback, FeedbackKind, Message, Role, Writing

OPPOSITE = {FeedbackKind.GOOD: FeedbackKind.BAD, FeedbackKind.BAD: FeedbackKind.GOOD}
LONGEST_EDIT = 32_000  # characters


class BadFeedback(ValueError):
    """No such opinion can be kept; the message says why."""


def rate(*, answer: Message, kind: str) -> Feedback | None:
    """Thumb up (`good`) or down (`bad`); the same once more takes it back and returns None."""
    if kind not in OPPOSITE:
        raise BadFeedback(_("An answer is good or bad, got %(kind)r.") % {"kind": kind})
    _refuse(answer)
    with transaction.atomic():
        answer.feedback.filter(kind=OPPOSITE[FeedbackKind(kind)]).delete()
        taken_back, _rows = answer.feedback.filter(kind=kind).delete()
        made = None if taken_back else Feedback.objects.create(owner=answer.owner, message=answer, kind=kind)
        _offer(answer)
    return made


def edit(*, answer: Message, text: str) -> Feedback:
    """The answer as it should have been."""
    text = text.replace("\x00", "").strip()
    _refuse(answer)
    if not text or len(text) > LONGEST_EDIT:
        raise BadFeedback(
            _("Better words have 1 to %(most)d characters; these have %(count)d.")
            % {"most": LONGEST_EDIT, "count": len(text)}
        )
    if text == answer.text.strip():
        raise BadFeedback(_("These are the very words of the answer. Change them, or give it a thumb."))
    with transaction.atomic():
        made, _new = Feedback.objects.update_or_create(
            message=answer, kind=FeedbackKind.EDIT, over=None, defaults={"owner": answer.owner, "text": text}
        )
        _offer(answer)
    return made


def pick(*, answer: Message, over: Message) -> Feedback:
    """`answer` is better than `over`, another answer to the same question; the opposite opinion goes."""
    _refuse(answer)
    _refuse(over)
    if answer.pk == over.pk or answer.parent_id != over.parent_id:
        raise BadFeedback(_("Only two answers to the same question can be compared."))
    with transaction.atomic():
        Feedback.objects.filter(message=over, over=answer, kind=FeedbackKind.PICK).delete()
        made, _new = Feedback.objects.update_or_create(
            message=answer, kind=FeedbackKind.PICK, over=over, defaults={"owner": answer.owner}
        )
    return made


def row_of(answer: Message, text: str | None = None) -> dict[str, Any]:
    """The answer as a chat row (docs/architecture.md, "Rows"), under the persona that it was given with."""
    return {"messages": [*prompt_of(answer), {"role": "assistant", "content": text or answer.text}]}


def prompt_of(answer: Message) -> list[dict[str, Any]]:
    """What was said before it, the persona first. What was looked up is left out: it is not what is to be learned."""
    trace = answer.trace
    persona = trace.version.recipe["persona"] if trace else answer.conversation.minion.persona
    said = [
        {"role": each.role, "content": each.text}
        for each in path_to(answer)[:-1]
        if each.role == Role.USER or each.text
    ]
    return [{"role": "system", "content": persona}, *said] if persona else said


def _offer(answer: Message) -> None:
    """What is thought of it, as a review of an example from a chat: starred where it is good or was put right."""
    kinds = set(answer.feedback.values_list("kind", flat=True))
    edited = answer.feedback.filter(kind=FeedbackKind.EDIT).first()
    if edited or FeedbackKind.GOOD in kinds:
        verdict = ReviewVerdict.STAR
    else:
        verdict = ReviewVerdict.REJECT if FeedbackKind.BAD in kinds else ReviewVerdict.NONE
    record_review(
        owner=answer.owner, reviewer=answer.owner, source=ReviewSource.CHAT, row=row_of(answer), verdict=verdict,
        edited=row_of(answer, edited.text) if edited else None, is_seen=False,
    )  # fmt: skip


def _refuse(answer: Message) -> None:
    if answer.role != Role.ASSISTANT or answer.status == Writing.WRITING or not answer.text.strip():
        raise BadFeedback(_("There is no answer here to have an opinion on."))
