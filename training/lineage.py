"""What trainings and adapters have to do with versions of datasets (`datasets_app.learners`)."""

from collections.abc import Iterable
from typing import Any

from django.urls import reverse

from datasets_app.learners import Learner
from training.models import UNFINISHED, Adapter, ChainStage, ChainStatus, Plan, TrainingJob


def learners_of(version_ids: Iterable[Any]) -> list[Learner]:
    """The jobs that refer to these versions, the adapters that they left, and chains that will come to them yet."""
    jobs = TrainingJob.objects.filter(dataset_version__in=version_ids).order_by("created_at")
    adapters = Adapter.objects.filter(dataset_version__in=version_ids).order_by("created_at")
    return [
        *(
            Learner(
                "job",
                str(job.pk),
                job.name,
                job_url(job.pk),
                job.dataset_version_id,
                job.status in UNFINISHED,
            )
            for job in jobs.only("name", "status", "dataset_version_id")
        ),
        *(
            Learner("adapter", str(one.pk), one.name, job_url(one.job_id), one.dataset_version_id)
            for one in adapters.only("name", "job_id", "dataset_version_id")
        ),
        *(
            Learner(
                "job", str(stage.chain_id), stage.chain.name, chain_url(stage.chain_id),
                stage.dataset_version_id, is_at_work=True,
            )
            for stage in coming_stages(version_ids)
        ),
    ]  # fmt: skip


def coming_stages(version_ids: Iterable[Any]):
    """Stages of chains under way whose training has not been made yet."""
    stages = ChainStage.objects.filter(
        dataset_version__in=version_ids, job__isnull=True, chain__status=ChainStatus.RUNNING
    )
    return stages.select_related("chain")


def chain_url(chain_id) -> str:
    return reverse("training:chain-detail", args=[chain_id])


def job_url(job_id) -> str:
    return reverse("training:job-detail", args=[job_id])


def forget_versions(version_ids: Iterable[Any]) -> None:
    """Half-filled plans choose their examples anew."""
    Plan.objects.filter(dataset_version__in=version_ids, job__isnull=True).update(dataset_version=None)
