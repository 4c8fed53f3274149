"""The whole log of a job's last attempts: kept by the worker at the end of each, put together for a download."""

import gzip
import logging
from collections.abc import Iterator
from pathlib import Path

from django.db import DatabaseError, InterfaceError, transaction
from django.utils.translation import gettext as _

from training.models import Attempt, EngineLog, TrainingJob

logger = logging.getLogger(__name__)
HEAD_BYTES, TAIL_BYTES = 1_000_000, 4_000_000  # kept of a longer one: how it began, and more of how it ended
ATTEMPTS_KEPT = 5


def keep_log(attempt_id: int, path: Path) -> None:
    """Keeps what the engine wrote to `path`, and lets the logs of the oldest attempts go.

    The training comes first: where the file or the database is away, the log is left out, and the worker's own log
    says so.
    """
    try:
        size, text = read_capped(path)
        if size == 0:
            return
        with transaction.atomic():
            attempt = Attempt.objects.filter(pk=attempt_id).first()
            if attempt is None:  # its job was stopped and deleted
                return
            values = {"size_bytes": size, "content": gzip.compress(text, 6, mtime=0)}
            EngineLog.objects.update_or_create(attempt=attempt, defaults=values)
            newest = EngineLog.objects.filter(attempt__job=attempt.job_id).order_by("-attempt__token")
            kept = list(newest.values_list("pk", flat=True)[:ATTEMPTS_KEPT])
            EngineLog.objects.filter(attempt__job=attempt.job_id).exclude(pk__in=kept).delete()
    except (OSError, DatabaseError, InterfaceError) as problem:
        logger.warning("the log of attempt %s is not kept: %s", attempt_id, problem)


def read_capped(path: Path) -> tuple[int, bytes]:
    """How long the file is in bytes, and its content: of a long one the beginning and the end."""
    with open(path, "rb") as log:
        size = log.seek(0, 2)
        log.seek(0)
        if size <= HEAD_BYTES + TAIL_BYTES:
            return size, log.read()
        head = log.read(HEAD_BYTES)
        log.seek(size - TAIL_BYTES)
        left_out = f"\n\n... {size - HEAD_BYTES - TAIL_BYTES} bytes are left out here ...\n\n"
        return size, head + left_out.encode() + log.read(TAIL_BYTES)


def whole_log(job: TrainingJob) -> Iterator[bytes]:
    """All that is kept, oldest attempt first, each under a line that names it; of one at work what is known by now."""
    attempts = job.attempts.order_by("token").select_related("engine_log").defer("engine_log__content")
    for attempt in attempts:
        log = getattr(attempt, "engine_log", None)
        if log is not None:
            yield heading(attempt).encode()
            yield gzip.decompress(log.content)
            yield b"\n"
        elif attempt.ended_at is None and job.log_tail:
            yield (heading(attempt) + _("(its last lines so far)") + "\n" + job.log_tail + "\n").encode()


def heading(attempt: Attempt) -> str:
    began = attempt.started_at.isoformat(timespec="seconds")
    ended = attempt.ended_at.isoformat(timespec="seconds") if attempt.ended_at else _("at work")
    words = _("Attempt %(number)s, from step %(step)s, %(began)s to %(ended)s %(outcome)s") % {
        "number": attempt.token, "step": attempt.resumed_step, "began": began, "ended": ended,
        "outcome": attempt.outcome,
    }  # fmt: skip
    return f"=== {words.strip()} ===\n"
