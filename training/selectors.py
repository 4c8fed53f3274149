"""Page-shaped reads across models."""

from collections.abc import Iterator

from django.db.models import Count, F, Prefetch, Q

from base_models.models import BaseModel
from datasets_app.models import Dataset, DatasetVersion
from training.metrics import curves, store
from training.metrics.exports import FORMATS
from training.models import Adapter, Plan, Status, TrainingJob

LATEST = 6


def jobs_for_list(user):
    """The user's jobs, newest first, with all that a row shows in three queries."""
    jobs = TrainingJob.objects.for_user(user).select_related(
        "base_model", "dataset_version__dataset", "chain_stage__chain", "start_adapter"
    )
    return jobs.prefetch_related("adapters", "attempts")


def jobs_of_dataset(user, dataset: Dataset):
    return jobs_for_list(user).filter(dataset_version__dataset=dataset)


def jobs_by_version(user, dataset: Dataset, limit: int = 200) -> dict:
    """Version id → the newest jobs that learned from it, `limit` of all."""
    found: dict = {}
    for job in jobs_of_dataset(user, dataset).order_by("-created_at")[:limit]:
        found.setdefault(job.dataset_version_id, []).append(job)
    return found


def home(user) -> dict:
    """What Home shows: what runs, the last result, half-filled plans, recent things."""
    jobs = jobs_for_list(user)
    last = (
        jobs.filter(status__in=[Status.SUCCEEDED, Status.FAILED, Status.CRASHED])
        .order_by("-ended_at")
        .first()
    )
    return {
        "running": list(jobs.unfinished().exclude(status=Status.PAUSED)[:3]),
        "resting": list(jobs.filter(status=Status.PAUSED)[:3]),
        "last_result": jobs.filter(status=Status.SUCCEEDED).order_by("-ended_at").first(),
        # Until something has worked since, or it is tried again.
        "stopped": last if last and last.status != Status.SUCCEEDED and not last.retries.exists() else None,
        "plans": list(unfinished_plans(user)[:3]),
        "recent_jobs": list(jobs[:LATEST]),
        "recent_datasets": list(
            Dataset.objects.for_user(user).annotate(
                version_count=Count("versions", filter=Q(versions__erased_at=None))
            )[:LATEST]
        ),
    }


def unfinished_plans(user):
    return (
        Plan.objects.for_user(user)
        .filter(job__isnull=True)
        .select_related("dataset_version__dataset", "base_model")
    )


def usable_versions(user, kinds):
    """Latest versions whose rows are of these kinds, newest dataset first."""
    newest_first = Prefetch(
        "versions", DatasetVersion.objects.present().order_by("-number"), to_attr="newest_versions"
    )
    datasets = Dataset.objects.for_user(user).prefetch_related(newest_first)
    newest = [dataset.newest_versions[0] for dataset in datasets if dataset.newest_versions]
    return [version for version in newest if version.kind in kinds]


def adapters_to_go_on_from(user, limit: int = 24):
    """The user's adapters whose base model is on this machine as it was then, newest first."""
    return adapters_for_list(user).filter(
        base_model__is_on_this_machine=True, base_revision=F("base_model__revision")
    )[:limit]


def base_model_choices() -> list[dict]:
    """Cards for the wizard: base models on this machine, small to large, each with its plain word."""
    models = list(BaseModel.objects.on_this_machine())
    words = ["quick", "balanced", "strongest"]
    cards = []
    for index, model in enumerate(models):
        place = 0 if len(models) == 1 else round(index * 2 / (len(models) - 1))
        cards.append({"model": model, "word": words[place]})
    return cards


def points(
    job: TrainingJob, names: list[str], *, columns: int, first: int = 0, last: int | None = None
) -> dict:
    """Curves as the page draws them: `{"steps": total, "first", "last", "column": steps, "series": {name: curve}}`.

    A curve is `{"steps": [first, difference, …], "values": […]}`, with the extremes of every column exact.
    """
    found = store.read_curves(job, names, columns, first, last)
    found["series"] = {name: curves.as_json(*curve) for name, curve in found["series"].items()}
    return {"steps": job.total_steps, **found}


def exported_metrics(job: TrainingJob, kind: str) -> Iterator[bytes]:
    """All steps and series of a job as a file of one of `exports.FORMATS`, piece by piece."""
    return FORMATS[kind].pieces(store.read_blocks(job), store.series_names(job))


def checks(job: TrainingJob) -> list[list]:
    """`[[step, held-out loss]]` in order: some dozen, however long the training is."""
    steps, values = store.outline(job, ["eval_loss"])["eval_loss"]
    return [list(point) for point in zip(steps.tolist(), values.tolist(), strict=True)]


def find_things(user) -> dict:
    """What the palette lists: the user's newest jobs, datasets and plans."""
    return {
        "jobs": jobs_for_list(user)[:20],
        "datasets": Dataset.objects.for_user(user)[:20],
        "plans": unfinished_plans(user)[:5],
    }


def adapters_for_list(user):
    return Adapter.objects.for_user(user).select_related("job", "base_model", "dataset_version__dataset")
