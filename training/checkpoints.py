"""Which checkpoints of a job are kept, and what of their bytes goes. The files are dealt with in `training.keeping`."""

import re
import uuid
from collections.abc import Iterable
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from apex.common import files
from training.models import Checkpoint, Discarded, TrainingJob, model_id_of

NEWEST = 2  # kept beside the best one: if the last cannot be read, the one before is used
TRIAL = timedelta(hours=1)  # for so long after somebody tried it a checkpoint stays
LONGEST_STORING = timedelta(days=1)  # whoever stores something has written its row by then
CALLED = re.compile(r"(?P<model>ft:.+:(?P<key>[0-9a-f]{8})):ckpt-step-(?P<step>[0-9]{1,9})")


def discard(hashes: Iterable[str]) -> None:
    """To be called in the transaction in which the rows of these stored bytes go; the bytes go once it is through."""
    gone = note_discarded(hashes)

    def remove() -> None:
        delete_unused(gone)

    if gone:
        transaction.on_commit(remove, robust=True)  # what goes wrong is made up for by the sweep


def note_discarded(hashes: Iterable[str]) -> list[str]:
    """Writes down that these may be nobody's, for whoever is about to store them or to take their rows away."""
    gone = sorted({sha256 for sha256 in hashes if sha256})
    Discarded.objects.bulk_create([Discarded(sha256=sha256) for sha256 in gone], ignore_conflicts=True)
    return gone


def delete_discarded() -> int:
    """Removes what those who noted it did not live to remove. Returns how many notes were dealt with."""
    left = Discarded.objects.filter(noted_at__lt=timezone.now() - LONGEST_STORING)
    hashes = list(left.values_list("sha256", flat=True))
    delete_unused(hashes)
    return len(hashes)


def delete_unused(hashes: Iterable[str]) -> None:
    """Removes the stored bytes that no adapter, no checkpoint and no attempt at work needs any more."""
    for sha256 in set(hashes):
        if not sha256:
            continue
        if not is_used(sha256):
            files.delete_stored(sha256)
        Discarded.objects.filter(sha256=sha256).delete()


def is_used(sha256: str) -> bool:
    return files.is_held(sha256)


def newest_good(job: TrainingJob) -> Checkpoint | None:
    """The one to go on from."""
    return job.checkpoints.filter(is_damaged=False).order_by("-step").first()


def checkpoint_called(user, model_id: str) -> Checkpoint | None:
    """The checkpoint of the user's that programs call `ft:…:ckpt-step-<step>`, with its job and base model.

    One that was kept is an adapter of that name, and is found as such.
    """
    named = CALLED.fullmatch(model_id)
    if named is None:
        return None
    first, last = (uuid.UUID(named["key"] + digit * 24) for digit in "0f")
    jobs = TrainingJob.objects.for_user(user).select_related("base_model", "owner", "dataset_version")
    found = [*jobs.filter(pk__range=(first, last)), *jobs.filter(adapters__model_id=named["model"])]
    job = next((job for job in found if model_id_of(job) == named["model"]), None)
    if job is None:
        return None
    checkpoint = job.checkpoints.filter(step=int(named["step"]), is_damaged=False).first()
    if checkpoint is not None:
        checkpoint.job = job
    return checkpoint


def note_trial(checkpoint: Checkpoint) -> None:
    """Somebody has it open to ask it things: it must not go in the middle of that."""
    Checkpoint.objects.filter(pk=checkpoint.pk).update(tried_at=timezone.now())


def prune(job: TrainingJob) -> int:
    """Deletes what nobody goes on from: all but the newest two, the best one and what was tried in the last hour.

    Returns how many went. Their bytes go with the rows (`training.signals`). What was kept as an adapter has files of
    its own.
    """
    rows = job.checkpoints.order_by("-step")
    good = [row for row in rows if not row.is_damaged]
    keep = {row.pk for row in good[:NEWEST]}
    keep |= {row.pk for row in good if row.is_best}
    keep |= {row.pk for row in good if row.tried_at and timezone.now() - row.tried_at < TRIAL}
    # A damaged one is shown until a newer whole one is there.
    keep |= {row.pk for row in rows if row.is_damaged and (not good or row.step > good[0].step)}
    gone = [row for row in rows if row.pk not in keep]
    Checkpoint.objects.filter(pk__in=[row.pk for row in gone]).delete()
    return len(gone)
