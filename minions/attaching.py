"""Files that are brought in a conversation: documents of a knowledge base of its minion (docs/decisions/0151)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apex.common.access import owned_or_404
from apex.common.names import free_name
from knowledge.models import DocumentStatus, KnowledgeBase
from knowledge.services import KnowledgeRefused, add_upload, create_base, limit_mb
from minions import selectors
from minions.models import Attachment, Conversation, Minion, Mode
from minions.services import MinionRefused, change_minion

AT_WORK = (DocumentStatus.QUEUED, DocumentStatus.READING)
SHOWN = 20
# What a mode without looking things up becomes when it shall look things up too.
WITH_LOOK_UP = {Mode.LORA_ONLY: Mode.HYBRID, Mode.PROVIDER_ONLY: Mode.RAG_ONLY}


class CannotAttach(ValueError):
    """This file cannot be brought here; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Attached:
    """`made`: the knowledge base that was made for it, None where there was one."""

    attachment: Attachment
    base: KnowledgeBase
    made: KnowledgeBase | None


def attach(*, conversation: Conversation, upload, base_id: str = "") -> Attached:
    """Brings `upload` into the knowledge base `base_id` of the minion; left out, the one used last here, else its
    first. Where it has none, one is made and joined to it. Raises CannotAttach, Http404 for a base it does not have.
    """
    minion = conversation.minion
    try:
        with transaction.atomic():
            base = _base_of(conversation, base_id)
            made = None if base else _join_new_base(minion)
            into = base or made
            document = add_upload(base=into, upload=upload)
            attachment = Attachment.objects.create(
                owner=conversation.owner, conversation=conversation, document=document, name=document.name
            )
    except (KnowledgeRefused, MinionRefused) as problem:
        raise CannotAttach(str(problem)) from problem
    return Attached(attachment, into, made)


def _base_of(conversation: Conversation, base_id: str) -> KnowledgeBase | None:
    bases = selectors.bases_of(conversation.minion)
    if base_id:
        return owned_or_404(bases, conversation.owner, pk=base_id)
    last = conversation.attachments.exclude(document=None).order_by("-created_at").first()
    before = bases.filter(pk=last.document.knowledge_base_id).first() if last else None
    return before or bases.first()


def _join_new_base(minion: Minion) -> KnowledgeBase:
    """A new one, joined to the minion, named after it and otherwise than those that are there."""
    taken = set(KnowledgeBase.objects.for_user(minion.owner).values_list("name", flat=True))
    name = free_name(_("Files for %(name)s") % {"name": minion.name}, taken)
    base = create_base(owner=minion.owner, name=name, description=_("Brought in the chat."))
    change_minion(minion=minion, knowledge_bases=[*minion.knowledge_bases.all(), base])
    return base


def looks_up(minion: Minion) -> bool:
    """Whether its mode has a stage that looks things up."""
    return minion.mode not in WITH_LOOK_UP


def let_look_up(*, minion: Minion) -> Minion:
    """Switches to the mode with what it has now and looking things up. Raises MinionRefused."""
    if looks_up(minion):
        return minion
    return change_minion(minion=minion, mode=WITH_LOOK_UP[Mode(minion.mode)])


def attached_to(conversation: Conversation) -> list[Attachment]:
    """The newest, first to last, each with its document and that one's base."""
    rows = conversation.attachments.select_related("document__knowledge_base").order_by("-created_at")
    return list(rows[:SHOWN])[::-1]


def _is_open(conversation: Conversation, attachments: list[Attachment]) -> bool:
    """Whether the list is shown unfolded: one is not ready, or nothing was asked since the newest came."""
    if any(each.document and each.document.status != DocumentStatus.READY for each in attachments):
        return True
    newest = attachments[-1].created_at if attachments else None
    return newest is not None and not conversation.messages.filter(created_at__gt=newest).exists()


def page_of(conversation: Conversation) -> dict[str, Any]:
    """What the page shows of the files of a conversation, and where more would go."""
    minion, attachments = conversation.minion, attached_to(conversation)
    return {
        "conversation": conversation,
        "minion": minion,
        "attachments": attachments,
        "is_at_work": any(each.document and each.document.status in AT_WORK for each in attachments),
        "is_open": _is_open(conversation, attachments),
        "looks_up": looks_up(minion),
        "bases": selectors.bases_of(minion),
        "limit_mb": limit_mb(),
    }
