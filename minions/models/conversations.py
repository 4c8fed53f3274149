"""Conversations: a tree of messages, of which one branch is shown."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from apex.common.models import OwnedModel
from minions.models.answers import AnswerTrace
from minions.models.minions import Minion


class Conversation(OwnedModel):
    """`shown` is the last message of the branch that the page shows; editing and asking again begin new branches."""

    minion = models.ForeignKey(
        Minion, on_delete=models.CASCADE, related_name="conversations", verbose_name=_("minion")
    )
    title = models.CharField(_("title"), max_length=120, blank=True)
    shown = models.ForeignKey(
        "minions.Message", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    changed_at = models.DateTimeField(_("changed"), auto_now=True, db_index=True)

    class Meta(OwnedModel.Meta):
        verbose_name = _("conversation")
        ordering = ["-changed_at"]

    def __str__(self) -> str:
        return self.title or str(_("New conversation"))


class Role(models.TextChoices):
    USER = "user", _("you")
    ASSISTANT = "assistant", _("the minion")


class Writing(models.TextChoices):
    WRITING = "writing", _("being written")
    DONE = "done", _("done")
    STOPPED = "stopped", _("stopped")
    BROKEN = "broken", _("broke off")
    FAILED = "failed", _("no answer")


MOVES: dict[str, set[str]] = {
    Writing.WRITING: {Writing.DONE, Writing.STOPPED, Writing.BROKEN, Writing.FAILED},
    Writing.DONE: set(),
    Writing.STOPPED: set(),
    Writing.BROKEN: set(),
    Writing.FAILED: set(),
}


class Message(OwnedModel):
    """One turn. writing → done | stopped | broken | failed; a question is done at once.

    An answer that was stopped or broke off keeps the words that had come. `citations` are the passages that the
    answer was given: `[{"number", "chunk", "document", "base", "name", "place", "text", "score"}]`.
    """

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="messages")
    parent = models.ForeignKey(
        "self", on_delete=models.CASCADE, null=True, blank=True, related_name="children"
    )
    role = models.CharField(_("who"), max_length=10, choices=Role)
    text = models.TextField(_("text"), blank=True)
    status = models.CharField(_("status"), max_length=10, choices=Writing, default=Writing.DONE)
    citations = models.JSONField(_("citations"), default=list, blank=True)
    problem = models.CharField(_("what went wrong"), max_length=500, blank=True)
    trace = models.OneToOneField(
        AnswerTrace, on_delete=models.SET_NULL, null=True, blank=True, related_name="message"
    )

    class Meta(OwnedModel.Meta):
        verbose_name = _("message")
        ordering = ["created_at"]
        indexes = [models.Index(fields=["conversation", "created_at"], name="minions_message_in_order")]

    def __str__(self) -> str:
        return self.text[:60]


class Attachment(OwnedModel):
    """A file that was brought in a conversation. It is a document of a knowledge base of the minion, and stays one
    when the conversation goes; None: the document was deleted, or another file of its name took its place."""

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="attachments")
    document = models.ForeignKey(
        "knowledge.Document", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    name = models.CharField(_("name"), max_length=255)

    class Meta(OwnedModel.Meta):
        verbose_name = _("attachment")
        ordering = ["created_at"]

    def __str__(self) -> str:
        return self.name
