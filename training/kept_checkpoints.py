"""Checkpoints that their owner keeps become adapters of their own, and kept ones can be let go again."""

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from apex.common import files
from audit.models import Act
from audit.services import record_act
from training import events
from training.checkpoint_files import CheckpointUnusable, gone_words, library_versions, store_kept
from training.checkpoints import delete_unused
from training.models import Adapter, Checkpoint, JobEvent, TrainingJob, model_id_of
from training.services import DeleteRefused, refuse_continued, refuse_in_use

NAME_LENGTH = 80


def keep_checkpoint(*, job: TrainingJob, step: int) -> Adapter:
    """Makes the checkpoint of `step` an adapter that answers, is downloaded and called like any other.

    Pruning does not touch it. Asked twice, still one. Raises `CheckpointUnusable`.
    """
    if kept := job.adapters.filter(step=step).first():
        return kept
    checkpoints = Checkpoint.objects.select_related(
        "job__base_model", "job__dataset_version__dataset", "job__dataset_version__reference"
    )
    checkpoint = checkpoints.filter(job=job, step=step).first()
    if checkpoint is None:
        raise CheckpointUnusable(gone_words(step))
    stored = store_kept(checkpoint)
    try:
        with transaction.atomic():
            job = TrainingJob.objects.select_for_update().get(pk=job.pk)
            adapter = make_adapter(job, checkpoint, stored)
            JobEvent.objects.create(
                job=job,
                kind="checkpoint.kept",
                message=_("Kept from step %(step)s.") % {"step": step},
                data={"step": step, "adapter": str(adapter.pk)},
            )
            events.job_changed(job)
    except TrainingJob.DoesNotExist as problem:
        delete_unused([stored.sha256])
        raise CheckpointUnusable(gone_words(step)) from problem
    except IntegrityError:  # somebody kept it in the same moment
        return Adapter.objects.get(job=job, step=step)
    return adapter


def make_adapter(job: TrainingJob, checkpoint: Checkpoint, stored: files.Stored) -> Adapter:
    step = checkpoint.step
    behind = _(", step %(step)s") % {"step": step}
    return Adapter.objects.create(
        owner=job.owner,
        name=job.name[: NAME_LENGTH - len(behind)] + behind,
        model_id=f"{model_id_of(job)}:ckpt-step-{step}",
        job=job,
        step=step,
        dataset_version=job.dataset_version,
        base_model=job.base_model,
        base_revision=job.base_model.revision,
        config=job.config,
        seed=job.config.get("seed", 0),
        library_versions=library_versions(job),
        directory_sha256=stored.sha256,
        size_bytes=stored.size,
        eval_loss_base=job.eval_loss_base,
        eval_loss=checkpoint.eval_loss,
    )


def delete_adapter(*, adapter: Adapter) -> None:
    """Lets a kept checkpoint go, with its files. Raises `DeleteRefused` for one that is needed.

    What a job left at its end goes with its job.
    """
    if adapter.step is None:
        raise DeleteRefused(
            _("%(name)s is what its training left at its end; delete the training, and it goes too.")
            % {"name": adapter.name}
        )
    with transaction.atomic():
        # Whoever begins a training with it locks it too (`continuing.check_start`).
        locked = list(Adapter.objects.select_for_update().filter(pk=adapter.pk))
        refuse_continued(locked)
        refuse_in_use(locked)
        job = adapter.job
        record_act(Act.DELETED, subject=adapter, model=adapter.model_id)
        Adapter.objects.filter(pk=adapter.pk).delete()
        JobEvent.objects.create(
            job=job,
            kind="checkpoint.let_go",
            message=_("What was kept from step %(step)s was deleted.") % {"step": adapter.step},
            data={"step": adapter.step},
        )
        events.job_changed(job)
