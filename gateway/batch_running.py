"""What a worker does with a batch: a slice of its questions at a time, so that it holds up nothing else.

Each answer is a row of its own before the next question is taken, written under the token of the slice at work: a
worker that is killed costs the answers under way, which the next slice asks for again, and one that comes back from the
dead writes nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import tempfile
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.db import connections, transaction
from django.db.models import F, Q
from django.utils import timezone

from apex.common import files
from gateway import batch_answers, batch_files, batch_reading, batching, filing
from gateway.batch_answers import Answered
from gateway.batch_reading import Question
from gateway.batch_rights import WORDS, lost_right
from gateway.endpoints import new_request_id
from gateway.hot.relay import Used, usage_of
from gateway.hot.requests import KINDS
from gateway.hot.routes import lineage_told
from gateway.models import BATCH_UNFINISHED, Batch, BatchAnswer, BatchStatus, FilePurpose
from ledger import budgets
from serving import books
from serving.protocol import ApiError

logger = logging.getLogger(__name__)
AT_ONCE = 1  # batches; worker-default has other work
SLICE_SECONDS = 20.0  # after which no further question is begun, and others have their turn
SILENT_SECONDS = 10.0  # without a heartbeat; then its worker is taken for gone
BEAT_SECONDS = 2.0
QUESTION_SECONDS = 600.0
HELD_SECONDS = 3600.0  # so long it waits for what others hold of its budget; then that refuses its questions


class LostHold(Exception):
    """Another slice has the batch by now; nothing more is to be written."""


def run_batch(batch_id: str) -> None:
    """One slice of a batch. Quiet if somebody else has it, or if it has ended."""
    token = claim(batch_id)
    if token is None:
        return
    try:
        goes_on = work(Batch.objects.select_related("owner").get(pk=batch_id), token)
    except LostHold:
        logger.info("batch %s was taken over", batch_id)
        return
    finally:
        Batch.objects.filter(pk=batch_id, attempt=token).update(attempt=None, heartbeat_at=None)
    if goes_on:
        batching.send_batch(batch_id)


def stale_before():
    return timezone.now() - timedelta(seconds=SILENT_SECONDS)


def claim(batch_id: str) -> uuid.UUID | None:
    """Takes a batch that nobody is at work on; None if somebody is, or if enough others are."""
    at_work = Batch.objects.filter(status__in=BATCH_UNFINISHED, heartbeat_at__gte=stale_before())
    if at_work.exclude(pk=batch_id).count() >= AT_ONCE:
        return None
    token = uuid.uuid4()
    free = Batch.objects.filter(pk=batch_id, status__in=BATCH_UNFINISHED).filter(
        Q(heartbeat_at=None) | Q(heartbeat_at__lt=stale_before())
    )
    return token if free.update(attempt=token, heartbeat_at=timezone.now()) else None


def hold(batch_id, token) -> str:
    """A heartbeat; the status as it stands. Raises LostHold."""
    if not Batch.objects.filter(pk=batch_id, attempt=token).update(heartbeat_at=timezone.now()):
        raise LostHold
    return Batch.objects.values_list("status", flat=True).get(pk=batch_id)


def work(batch: Batch, token) -> bool:
    """Whether there is more to do at once."""
    path = files.local_path(batch.input_sha256)
    stop_without_right(batch)
    if batch.status == BatchStatus.VALIDATING and not begin(batch, path):
        return batch.status == BatchStatus.VALIDATING
    if batch.status == BatchStatus.IN_PROGRESS and timezone.now() < batch.expires_at:
        is_stuck = answer_some(batch, token, path)
        batch.refresh_from_db()
        stop_without_right(batch)
        if batch.status == BatchStatus.IN_PROGRESS and batch.answers.count() < batch.total:
            is_over = timezone.now() >= batch.expires_at
            return is_over or not is_stuck
    return end(batch, token, path)


def stop_without_right(batch: Batch) -> None:
    """Whose token ended, or who was shut out, asks and spends nothing any more; what is answered in full is told."""
    if batch.status == BatchStatus.IN_PROGRESS and batch.answers.count() == batch.total:
        return
    code = lost_right(batch)
    if code is None:
        return
    errors = [batch_reading.fault(code, WORDS[code])]
    if not batching.change(batch, BatchStatus.CANCELLING, errors=errors):
        batch.refresh_from_db()


def begin(batch: Batch, path: Path) -> bool:
    """Reads the whole file first, as OpenAI does: one bad line, and nothing of it is answered."""
    faults, count, models = batch_reading.faults_of(path, batch.endpoint)
    if faults:
        batching.change(batch, BatchStatus.FAILED, errors=faults, total=0)
        return False
    model = models.pop() if len(models) == 1 else ""
    return batching.change(batch, BatchStatus.IN_PROGRESS, total=count, model=model[:200])


def answer_some(batch: Batch, token, path: Path) -> bool:
    """Answers what is open until the slice is over. True if nobody could answer just now."""
    answered = set(batch.answers.values_list("line", flat=True))
    still_open = (one for one in batch_reading.questions(path) if one.number not in answered)
    return async_to_sync(Slice(batch, token, still_open).run)()


class Slice:
    """Several hands that each take the next question, until time, questions or models run out."""

    def __init__(self, batch: Batch, token, still_open: Iterator[Question]):
        self.batch, self.token, self.still_open = batch, token, still_open
        self.put_back: list[Question] = []  # what a budget had no room for beside the others
        self.hands = settings.BATCH_CONCURRENCY
        begun = batch.times.get(f"{BatchStatus.IN_PROGRESS}_at", 0)
        self.may_wait = time.time() < begun + HELD_SECONDS
        self.ends_at = time.monotonic() + SLICE_SECONDS
        self.is_stopped = self.is_stuck = False

    async def run(self) -> bool:
        beats = asyncio.create_task(self.beat())
        hands = [asyncio.create_task(self.hand()) for _ in range(self.hands)]
        try:
            await asyncio.gather(*hands)
        finally:
            for task in (*hands, beats):
                task.cancel()
            await asyncio.gather(*hands, beats, return_exceptions=True)
            await sync_to_async(connections.close_all)()
        return self.is_stuck

    async def beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            try:
                status = await sync_to_async(hold)(self.batch.pk, self.token)
            except LostHold:
                status = ""
            if status != BatchStatus.IN_PROGRESS:
                self.is_stopped = True

    async def hand(self) -> None:
        while not self.is_stopped and time.monotonic() < self.ends_at:
            question = self.put_back.pop() if self.put_back else next(self.still_open, None)
            if question is None:
                break
            if await sync_to_async(lost_right)(self.batch):
                self.is_stopped = True
                break
            begun = time.monotonic()
            try:
                answered = await self.answered(question)
            except batch_answers.Held as problem:
                if self.hands > 1 or self.may_wait:
                    self.put_back.append(question)
                    if self.hands == 1:  # none of ours holds it
                        self.wait(problem)
                    break
                answered = problem.refusal
            except batch_answers.Later as problem:
                self.wait(problem)
                break
            took = time.monotonic() - begun
            await sync_to_async(keep)(self.batch, self.token, question, answered, took)
        self.hands -= 1

    def wait(self, problem: batch_answers.Later) -> None:
        logger.info("batch %s waits: %s", self.batch.pk, problem)
        self.is_stopped = self.is_stuck = True

    async def answered(self, question: Question) -> Answered:
        try:
            async with asyncio.timeout(QUESTION_SECONDS):
                return await batch_answers.answer(
                    user=self.batch.owner,
                    endpoint=self.batch.endpoint,
                    body=question.body,
                    model_names=self.batch.model_names,
                    token_id=self.batch.token_id,
                )
        except TimeoutError:
            error = ApiError("The answer took too long.", status=504, kind="server_error", code="timeout")
        except batch_answers.Later:
            raise
        except Exception:
            logger.exception("line %s of batch %s broke", question.number, self.batch.pk)
            error = ApiError("The server had an error while answering this.", status=500, kind="server_error")
        return batch_answers.refused(error)


def response_of(answered: Answered) -> dict[str, Any]:
    """As OpenAI has it, and what a single answer says in `X-Apex-Lineage`."""
    told = {"status_code": answered.status, "request_id": new_request_id(), "body": answered.body}
    return told | ({"x_apex_lineage": lineage_told(answered.lineage)} if answered.lineage else {})


def keep(batch: Batch, token, question: Question, answered: Answered, took: float) -> None:
    """Writes one answer, counts it, and writes down what it used, as of a single call. Raises LostHold.

    `took`: seconds.
    """
    row = batch_files.row_of(batch, question, response=response_of(answered))
    used = usage_of(json.dumps(answered.body).encode()) if answered.is_good else Used()
    with transaction.atomic():
        hold(batch.pk, token)
        BatchAnswer.objects.create(batch=batch, line=question.number, is_good=answered.is_good, body=row)
        current = Batch.objects.select_for_update().get(pk=batch.pk)
        usage = {
            "input_tokens": current.usage.get("input_tokens", 0) + (used.prompt_tokens or 0),
            "output_tokens": current.usage.get("output_tokens", 0) + (used.completion_tokens or 0),
        }
        counted = "completed" if answered.is_good else "failed"
        Batch.objects.filter(pk=batch.pk).update(**{counted: F(counted) + 1, "usage": usage})
        used_line = books.line(
            batch.owner_id,
            KINDS[batch.endpoint].activity,
            status=answered.status,
            error=answered.error,
            token_id=batch.token_id,
            reference=row["response"]["request_id"],
            model=str(question.body.get("model", "")),
            adapter_id=answered.lineage.get("adapter"),
            price=answered.price,
            input_tokens=used.prompt_tokens,
            output_tokens=used.completion_tokens,
            latency_ms=round(took * 1000, 3),
        )
        budgets.settle(answered.held, [used_line])


def end(batch: Batch, token, path: Path) -> bool:
    """Writes the files of a batch that has nothing more to do, and gives it its last status. False: it is over."""
    if batch.status == BatchStatus.IN_PROGRESS:
        is_whole = batch.answers.count() == batch.total
        if is_whole and not batching.change(batch, BatchStatus.FINALIZING):
            batch.refresh_from_db()
    last = {BatchStatus.FINALIZING: BatchStatus.COMPLETED, BatchStatus.CANCELLING: BatchStatus.CANCELLED}.get(
        BatchStatus(batch.status), BatchStatus.EXPIRED
    )
    with tempfile.TemporaryDirectory(dir=settings.FILE_UPLOAD_TEMP_DIR) as folder:
        good, bad = Path(folder) / "output", Path(folder) / "error"
        unanswered = batch_files.write_files(batch, path, good, bad, batch_files.why_unanswered(batch, last))
        with transaction.atomic():
            hold(batch.pk, token)
            kept = {
                f"{name}_file": filing.keep_path(
                    owner=batch.owner,
                    path=written,
                    file_name=f"{batch.public_id}_{name}.jsonl",
                    purpose=FilePurpose.BATCH_OUTPUT,
                    expires_seconds=batch.output_seconds,
                )
                for name, written in (("output", good), ("error", bad))
                if written.stat().st_size
            }
            batching.change(batch, last, failed=F("failed") + unanswered, **kept)
            batch_files.tell_refused(batch)
            batch_files.tell_stopped(batch)
            batch.answers.all().delete()
    return False
