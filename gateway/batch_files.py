"""What is told of a batch at its end: a line for each question in its two files, and a word by the bell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.notices import notify
from gateway import batch_reading
from gateway.batch_reading import Question
from gateway.models import Batch, BatchStatus

WHY_UNANSWERED = {
    BatchStatus.EXPIRED: ("batch_expired", "This request could not be answered before the completion window was over."),
    BatchStatus.CANCELLED: ("batch_cancelled", "The batch was cancelled before this request was answered."),
}  # fmt: skip


def row_of(batch: Batch, question: Question, *, response=None, error=None) -> dict[str, Any]:
    """A line of the output or the error file."""
    return {
        "id": f"batch_req_{batch.pk.hex}{question.number:06d}",
        "custom_id": question.custom_id,
        "response": response,
        "error": error,
    }


def why_unanswered(batch: Batch, last: str) -> tuple[str, str] | None:
    """Code and words for the questions that were not asked; none where all were."""
    if last == BatchStatus.CANCELLED and batch.errors:
        return "batch_cancelled", batch.errors[0]["message"]
    return WHY_UNANSWERED.get(BatchStatus(last))


def tell_refused(batch: Batch) -> None:
    """The bell, where a budget was too small for some of it."""
    refused = batch.answers.filter(body__response__body__error__code="insufficient_quota")
    if count := refused.count():
        words = _(
            "%(count)s of %(total)s questions of %(batch)s were refused by a budget. They are in its error file; raise "
            "the budget and send them again."
        )
        values = {"count": count, "total": batch.total, "batch": batch.public_id}
        text = words % values  # no name in it that somebody gave
        notify(owner=batch.owner, text=text, url="/usage/", kind="budget", mail=text)


def tell_stopped(batch: Batch) -> None:
    """The bell, where its token ended on the way: who waits for it may not know."""
    if any(error["code"] == "invalid_api_key" for error in batch.errors):
        words = _(
            "%(batch)s was stopped: its API token was revoked or has expired. %(count)s of %(total)s questions were "
            "answered; send the others again with another token."
        )
        values = {
            "count": batch.answers.filter(is_good=True).count(),
            "total": batch.total,
            "batch": batch.public_id,
        }
        notify(owner=batch.owner, text=words % values, url=reverse("accounts:tokens"), kind="batch")


def write_files(batch: Batch, path: Path, good: Path, bad: Path, why: tuple[str, str] | None) -> int:
    """One line for each question, in the order of the input; returns how many were not answered, for reason `why`."""
    answers = batch.answers.order_by("line").iterator(chunk_size=500)
    answer = next(answers, None)
    unanswered = 0
    # A batch whose file was never found good has no questions to tell of.
    asked = batch_reading.questions(path) if batch.total else ()
    with open(good, "w", encoding="utf-8") as output, open(bad, "w", encoding="utf-8") as errors:
        for question in asked:
            if answer is not None and answer.line == question.number:
                write(output if answer.is_good else errors, answer.body)
                answer = next(answers, None)
            elif why:
                unanswered += 1
                write(errors, row_of(batch, question, error=dict(zip(("code", "message"), why, strict=True))))
    return unanswered


def write(out, row: dict[str, Any]) -> None:
    out.write(json.dumps(row, ensure_ascii=False) + "\n")
