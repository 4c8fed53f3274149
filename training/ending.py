"""How an attempt ends: the adapter is kept, the job failed for good, or it is given back and another goes on."""

import logging
from pathlib import Path

from django.db import transaction
from django.utils.translation import gettext as _

from apex.common import files
from training import keeping, leases
from training.child import EngineChild
from training.models import Adapter, Attempt, Checkpoint, Status, model_id_of
from training.persisting import persist, shutting_down

logger = logging.getLogger(__name__)


def settle(
    attempt: Attempt, child: EngineChild, ending: dict | None, folder: Path, checkpoint: Checkpoint | None
) -> None:
    """Ends the job by the child's last word, or gives it back. `checkpoint`: what the child went on from."""
    word = ending["event"] if ending else ""
    if word == "finished" and child.returncode == 0:
        keep_adapter(attempt, ending, child, folder)
    elif word == "paused" and child.returncode == 0:
        was_asked = not shutting_down.is_set()
        why = (
            _("Paused at step %(step)s.")
            if was_asked
            else _("Apex was stopped at step %(step)s of this training.")
        )
        give_back(attempt, why=why % {"step": ending["step"]}, reason="paused" if was_asked else "stopped",
                  is_counted=False)  # fmt: skip
    elif word == "failed" and ending.get("reason") == "bad_checkpoint" and checkpoint is not None:
        persist(keeping.mark_damaged, attempt, checkpoint)
        give_back(attempt, why=ending.get("message", ""), reason="bad_checkpoint", is_counted=False)
    elif word == "failed":
        message = ending.get("message", _("The engine gave no reason."))
        reason = ending.get("reason", "unexpected")
        fail(attempt, reason, message, ending.get("advice", ""), log_tail=child.log_tail())
    else:
        give_back(
            attempt,
            why=died_words(child.returncode),
            reason="engine_died",
            advice=_("Try again with shorter examples or a smaller base model, or look at the log below."),
            log_tail=child.log_tail(),
        )


def died_words(returncode: int) -> str:
    if returncode == -9:
        return _("The training process was ended from outside (signal 9), most often because memory ran out.")
    if returncode < 0:
        return _("The training process was ended by signal %(number)s.") % {"number": -returncode}
    return _("The training process ended with code %(code)s and no reason.") % {"code": returncode}


def give_back(attempt: Attempt, **changes) -> None:
    try:
        persist(leases.give_back, attempt, **changes)
    except leases.LeaseLost as lost:
        logger.info("%s", lost)


def fail(attempt: Attempt, reason: str, message: str, advice: str = "", **changes) -> None:
    """Ends the job for good: the work said no."""
    persist(leases.finish, attempt, Status.FAILED, reason=reason, message=message, advice=advice, **changes)


def fail_for_rows(attempt: Attempt, message: str, *, is_changed: bool) -> None:
    """The examples stay elsewhere, and could not be had, or are others than those that were checked."""
    advice = (
        _("Open the examples and have them checked again; then start a training with the new version.")
        if is_changed
        else _("See whether the address and its connection still work, then press Try again.")
    )
    fail(attempt, "data_changed" if is_changed else "data_away", message, advice)


def fail_for_room(attempt: Attempt, message: str) -> None:
    fail(attempt, "disk_full", message, _("Make room on the disk, then press Try again."))


def fail_for_files(attempt: Attempt) -> None:
    """What was stored here is gone or damaged: the rows, or the adapter that it begins with."""
    job = attempt.job
    words = _("The stored files of %(data)s, or of the adapter that it goes on from, are gone or damaged.")
    advice = _("Bring the examples in again and start a training with them.")
    fail(attempt, "data_gone", words % {"data": job.dataset_version.dataset.name}, advice)


def keep_adapter(attempt: Attempt, ending: dict, child: EngineChild, folder: Path) -> None:
    """Stores the adapter by hash, then ends the job and writes the adapter's row in one transaction."""
    stored = persist(keeping.store_directory, attempt, Path(ending["adapter_dir"]), folder)
    persist(write_adapter, attempt, ending, stored, child.log_tail())
    attempt.storing_sha256 = ""


@transaction.atomic
def write_adapter(attempt: Attempt, ending: dict, stored: files.Stored, log_tail: str) -> None:
    job = attempt.job
    leases.finish(
        attempt,
        Status.SUCCEEDED,
        message=_("Finished."),
        reason="",
        tries_without_progress=0,
        tokens=ending.get("tokens") or job.tokens,
        step=ending.get("steps") or job.step,
        eval_loss_base=ending.get("eval_loss_base"),
        eval_loss=ending.get("eval_loss"),
        train_loss=ending.get("train_loss"),
        facts={**job.facts, "finished": ending},
        log_tail=log_tail,
        **({"best_step": ending["best_step"]} if ending.get("best_step") is not None else {}),
    )
    Adapter.objects.create(
        owner=job.owner,
        name=job.name,
        model_id=model_id_of(job),
        job=job,
        dataset_version=job.dataset_version,
        base_model=job.base_model,
        base_revision=job.base_model.revision,
        config=job.config,
        seed=job.config["seed"],
        library_versions=ending.get("library_versions", {}),
        directory_sha256=stored.sha256,
        size_bytes=stored.size,
        eval_loss_base=ending.get("eval_loss_base"),
        eval_loss=ending.get("eval_loss"),
    )
