"""“Improve this minion”: its good and edited answers, or its compared ones, become a version of a dataset."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from datasets_app.models import Dataset, DatasetVersion
from datasets_app.services import DatasetRefused, add_version, create_dataset, free_name
from minions.feedback import prompt_of, row_of
from minions.models import Feedback, FeedbackKind, Minion

KINDS = ("sft", "preference")


class NothingToLearn(ValueError):
    """There are no opinions that this kind could be made of; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Learnable:
    """How many rows each kind would have now, at most: two answers of the same words are no comparison."""

    sft: int
    preference: int


def learnable(minion: Minion) -> Learnable:
    """Counted, without reading what was said."""
    kinds = Counter(opinions(minion).values_list("kind", flat=True))
    good = opinions(minion).filter(kind__in=[FeedbackKind.GOOD, FeedbackKind.EDIT])
    return Learnable(
        sft=good.values("message").distinct().order_by().count(),
        preference=kinds[FeedbackKind.PICK] + kinds[FeedbackKind.EDIT],
    )


def opinions(minion: Minion):
    related = ("message__trace__version", "message__parent", "message__conversation__minion", "over")
    rows = Feedback.objects.filter(message__conversation__minion=minion).select_related(*related)
    return rows.order_by("created_at", "pk")


def sft_rows(minion: Minion) -> list[dict[str, Any]]:
    """One chat row for each answer that was put right or found good, in its better words where there are any."""
    found: dict[Any, dict[str, Any]] = {}
    for opinion in opinions(minion).filter(kind__in=[FeedbackKind.GOOD, FeedbackKind.EDIT]):
        answer = opinion.message
        if opinion.kind == FeedbackKind.EDIT:
            found[answer.pk] = row_of(answer, opinion.text)
        else:
            found.setdefault(answer.pk, row_of(answer))
    return list(found.values())


def preference_rows(minion: Minion) -> list[dict[str, Any]]:
    """What was better against what was not: picks, and edits against the words before."""
    rows = []
    for opinion in opinions(minion).filter(kind__in=[FeedbackKind.PICK, FeedbackKind.EDIT]):
        answer = opinion.message
        is_edit = opinion.kind == FeedbackKind.EDIT
        chosen = opinion.text if is_edit else answer.text
        rejected = answer.text if is_edit else opinion.over.text
        if chosen.strip() == rejected.strip():
            continue
        rows.append(
            {
                "prompt": prompt_of(answer),
                "chosen": [{"role": "assistant", "content": chosen}],
                "rejected": [{"role": "assistant", "content": rejected}],
            }
        )
    return rows


def improve(*, minion: Minion, kind: str) -> DatasetVersion:
    """The newest version of the minion's own dataset of this kind (`sft`, `preference`), made of all opinions so far.

    Raises NothingToLearn, and DatasetRefused where nothing has changed since the last one.
    """
    if kind not in KINDS:
        raise NothingToLearn(
            _("Choose answers to learn from, or comparisons; got %(kind)r.") % {"kind": kind}
        )
    rows = sft_rows(minion) if kind == "sft" else preference_rows(minion)
    if not rows:
        raise NothingToLearn(
            _("Nothing to learn from yet. Give some answers a thumb up, or put them right.")
            if kind == "sft"
            else _(
                "Nothing to compare yet. Ask for another answer and pick the better one, or put one right."
            )
        )
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    about = _("good answers") if kind == "sft" else _("comparisons")
    name = _("%(minion)s: %(about)s") % {"minion": minion.name, "about": about}
    description = f"minion:{minion.pk}:{kind}"
    file_name = f"{kind}.jsonl"
    with transaction.atomic():
        dataset = Dataset.objects.for_user(minion.owner).filter(description=description).first()
        if dataset is not None:
            return add_version(dataset=dataset, text=text, file_name=file_name)
        name = free_name(owner=minion.owner, wanted=name)
        return create_dataset(
            owner=minion.owner, name=name, text=text, file_name=file_name, description=description
        )


__all__ = ["KINDS", "DatasetRefused", "Learnable", "NothingToLearn", "improve", "learnable"]
