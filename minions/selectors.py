"""Page-shaped reads: lists, one conversation as its branch, figures of a minion, experience."""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from statistics import median
from typing import Any

from django.db.models import Avg, Count, Max, Q, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone
from django.utils.translation import gettext as _

from knowledge.models import KnowledgeBase
from ledger.models import UsageLine
from minions.experience import Experience
from minions.health import look
from minions.models import AnswerStatus, AnswerTrace, Conversation, FeedbackKind, Message, Minion, Role
from minions.recipes import recipe_of
from providers.registry import all_providers
from providers.selectors import usable_keys
from training.models import Status, TrainingJob

DAYS = 30


def as_stored(value: Any) -> Any:
    """As the database gives it back: JSON has lists, no tuples."""
    return json.loads(json.dumps(value))


def provider_names() -> list[str]:
    return list(all_providers())


def keys_for(owner) -> dict[str, str]:
    """Keys that `owner` may use, their own and shared ones: id → provider."""
    return {str(key.pk): key.provider for key in usable_keys(owner)}


def chain_for_page(minion: Minion) -> list[dict[str, Any]]:
    """The links as `chain_of` has them, each with the name of its key; one whose key is gone says so."""
    keys = {str(key.pk): key.name for key in usable_keys(minion.owner)}
    return [
        link | {"key_name": keys.get(link["key"], _("gone")) if link.get("key") else ""}
        for link in chain_of(minion)
    ]


def chain_of(minion: Minion) -> list[dict[str, Any]]:
    """Its outside models in order, as they are kept, and how each is: `rests_for` seconds it is left alone (0: it is
    asked), `seen_seconds` its first words took of late (None: nobody knows)."""
    links = recipe_of(minion, ()).chain
    return [
        stored | {"rests_for": round(health.open_for), "seen_seconds": health.first_seconds}
        for stored, health in zip(minion.chain, look(str(minion.owner_id), links), strict=True)
    ]


def minions_for(user):
    """With what a list shows of each: what it has, how often it answered in 30 days, and when last."""
    since = timezone.now() - timedelta(days=DAYS)
    return (
        Minion.objects.for_user(user)
        .select_related("adapter__base_model", "token")
        .prefetch_related("knowledge_bases")
        .annotate(
            recent_answers=Count("answers", filter=Q(answers__created_at__gte=since), distinct=True),
            last_answer_at=Max("answers__created_at"),
        )
        .order_by("name")
    )


def conversations_for(user):
    return Conversation.objects.for_user(user).select_related("minion").order_by("-changed_at")


def bases_of(minion: Minion):
    """The knowledge bases that it may look things up in, by name."""
    return KnowledgeBase.objects.for_user(minion.owner).filter(
        pk__in=minion.knowledge_bases.values_list("pk")
    ).order_by("name")  # fmt: skip


@dataclass
class Turn:
    """A message on the branch that is shown. `number` of `count` says which of its siblings; `before` and `after` are
    their ids. `opinions` are those on an answer, by kind."""

    message: Message
    number: int = 1
    count: int = 1
    before: Any = None
    after: Any = None
    opinions: dict[str, Any] = field(default_factory=dict)
    others: list[Message] = field(default_factory=list)

    @property
    def is_question(self) -> bool:
        return self.message.role == Role.USER

    @property
    def opinion(self) -> str:
        return next((kind for kind in (FeedbackKind.GOOD, FeedbackKind.BAD) if kind in self.opinions), "")

    @property
    def edited(self) -> str:
        return self.opinions[FeedbackKind.EDIT].text if FeedbackKind.EDIT in self.opinions else ""


def branch_of(conversation: Conversation) -> list[Turn]:
    """The shown branch, first turn first. Two queries, whatever its length."""
    messages = conversation.messages.select_related("trace__version").prefetch_related("feedback")
    every = {message.pk: message for message in messages}
    siblings: dict[Any, list[Message]] = defaultdict(list)
    for message in sorted(every.values(), key=lambda each: each.created_at):
        siblings[message.parent_id].append(message)
    turns: list[Turn] = []
    at = every.get(conversation.shown_id)
    while at is not None:
        turns.append(_turn(at, siblings[at.parent_id]))
        at = every.get(at.parent_id)
    return turns[::-1]


def _turn(message: Message, among: list[Message]) -> Turn:
    place = among.index(message)
    return Turn(
        message=message,
        number=place + 1,
        count=len(among),
        before=among[place - 1].pk if place else None,
        after=among[place + 1].pk if place + 1 < len(among) else None,
        opinions={each.kind: each for each in message.feedback.all()},
        others=[each for each in among if each.pk != message.pk and each.text],
    )


def figures_of(minion: Minion) -> dict[str, Any]:
    """What it answered in 30 days: counts, tokens, dollars, times in ms, by model and by day.

    Not `is_priced`: some of it came from a model whose price nobody has said, and is not in `cost`.
    """
    since = timezone.now() - timedelta(days=DAYS)
    answers = AnswerTrace.objects.filter(minion=minion, created_at__gte=since)
    sums = answers.aggregate(
        answers=Count("pk"), input_tokens=Sum("input_tokens"), output_tokens=Sum("output_tokens"), cost=Sum("cost"),
        **{status: Count("pk", filter=Q(status=status)) for status in AnswerStatus.values},
    )  # fmt: skip
    times = list(
        answers.exclude(first_ms=None).order_by("-created_at").values_list("first_ms", "own_ms")[:1000]
    )
    by_model = answers.exclude(model="").values("provider", "model").annotate(
        answers=Count("pk"), cost=Sum("cost"), first_ms=Avg("first_ms"),
        broken=Count("pk", filter=Q(status__in=[AnswerStatus.BROKEN, AnswerStatus.FAILED])),
    )  # fmt: skip
    by_day = answers.annotate(day=TruncDate("created_at")).values("day").annotate(
        answers=Count("pk"), cost=Sum("cost")
    )  # fmt: skip
    unpriced = UsageLine.objects.filter(
        minion_id=minion.pk, at__gte=since, price_source="", output_tokens__gt=0
    )
    return {
        "days": DAYS,
        "is_priced": not unpriced.exists(),
        **{name: value or 0 for name, value in sums.items()},
        "first_ms": round(median(first for first, _own in times), 1) if times else None,
        "own_ms": round(median(own for _first, own in times), 2) if times else None,
        "models": list(by_model.order_by("-answers")),
        "by_day": list(by_day.order_by("day")),
    }


def experience_of_minion(minion: Minion) -> Experience:
    """What its adapter learned from, and the answers that it gave."""
    examples = minion.adapter.dataset_version.train_count if minion.adapter else 0
    return Experience(examples, _answers(AnswerTrace.objects.filter(minion=minion)))


def experience_of(user) -> Experience:
    """Of all succeeded trainings, each version of examples once; and the answers of all minions."""
    jobs = TrainingJob.objects.for_user(user).filter(status=Status.SUCCEEDED)
    versions = dict(jobs.values_list("dataset_version_id", "dataset_version__train_count"))
    return Experience(sum(versions.values()), _answers(AnswerTrace.objects.for_user(user)))


def _answers(traces) -> int:
    good = traces.filter(status=AnswerStatus.DONE)
    return good.exclude(message__feedback__kind=FeedbackKind.BAD).count()


def profile_of(user) -> dict[str, Any]:
    """What a person has taught and made, for their profile page."""
    jobs = TrainingJob.objects.for_user(user).select_related("dataset_version__dataset", "base_model")
    return {
        "experience": experience_of(user),
        "jobs": jobs.order_by("-created_at")[:20],
        "job_count": jobs.count(),
        "succeeded": jobs.filter(status=Status.SUCCEEDED).count(),
        "minions": [(minion, experience_of_minion(minion)) for minion in minions_for(user)],
    }


def minion_called(user, name: str) -> Minion | None:
    """The user's minion of this name or id."""
    rows = Minion.objects.for_user(user)
    try:
        return rows.filter(Q(name=name) | Q(pk=uuid.UUID(name))).first()
    except ValueError:
        return rows.filter(name=name).first()
