"""A training is queued, or one that ended without success is tried again."""

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from base_models.models import BaseModel
from datasets_app.models import DatasetVersion
from datasets_app.reference_rows import check_unchanged
from datasets_app.sources import SourceError
from datasets_app.template_check import TemplateRefused, check_template
from ledger.refusals import BudgetSpent
from training import events, paying
from training.models import Adapter, ChainStage, JobEvent, Plan, Priority, Status, TrainingJob
from training.queueing import choose_queue, nudge_workers
from training.services.refusing import (
    NotEnoughLeft,
    StartRefused,
    refuse_early,
    refuse_erased,
    refuse_priority,
    refuse_split,
    refuse_start,
)
from training.services.settling import settled_config

NAME_LENGTH = TrainingJob._meta.get_field("name").max_length


class StageTaken(Exception):
    """The stage has its job already, or its chain is not under way: the job just made is undone."""


def start_job(
    *,
    owner,
    name: str,
    dataset_version: DatasetVersion,
    base_model: BaseModel,
    config: dict | None = None,
    method: str = "sft",
    start_adapter: Adapter | None = None,
    plan: Plan | None = None,
    retry_of: TrainingJob | None = None,
    estimate: dict | None = None,
    priority: int = Priority.NORMAL,
    device_count: int = 1,
    memory_bytes: int | None = None,
    wanted_queue: str = "",
    stage: ChainStage | None = None,
) -> TrainingJob:
    """Queues one training, which begins with the base model or goes on from `start_adapter`.

    A plan becomes one job: a second call with the same plan returns the first's job. It waits for `device_count`
    devices of one machine with `memory_bytes` each (else what was reckoned in `estimate`), `wanted_queue` among them.
    So does a `stage` of a chain; `StartRefused` if its chain has been stopped. `NotEnoughLeft` where a budget has less
    left than the estimate says that it costs.
    """
    refuse_priority(owner, priority)
    refuse_early(dataset_version, base_model, method)
    try:
        check_unchanged(dataset_version)
    except SourceError as problem:
        raise StartRefused(str(problem), field="dataset") from problem
    if start_adapter is not None:
        refuse_start(start_adapter, owner=owner, base_model=base_model)
    settled = settled_config(base_model, config, method, start_adapter)
    refuse_split(settled, method, device_count)
    try:
        check_template(version=dataset_version, base_model=base_model)
    except TemplateRefused as problem:
        raise StartRefused(str(problem), field="base_model") from problem
    try:
        with transaction.atomic():
            if retry_of is not None and (waiting := unfinished_retry(retry_of, lock=True)):
                return waiting
            refuse_erased(dataset_version, lock=True)
            if start_adapter is not None:
                refuse_start(start_adapter, owner=owner, base_model=base_model, lock=True)
            job = TrainingJob.objects.create(
                owner=owner,
                name=(name.strip() or dataset_version.dataset.name)[:NAME_LENGTH],
                plan=plan,
                retry_of=retry_of,
                dataset_version=dataset_version,
                base_model=base_model,
                method=method,
                start_adapter=start_adapter,
                config=settled,
                estimate=estimate or {},
                priority=priority,
                device_count=device_count,
                memory_bytes=memory_bytes or (estimate or {}).get("memory_bytes"),
                wanted_queue=wanted_queue,
                queue=choose_queue(wanted_queue),
                queued_at=timezone.now(),
            )
            if stage is not None and not stage.take_job(job):
                raise StageTaken
            paying.hold_for(job)
            JobEvent.objects.create(job=job, kind="job.queued", message=_("Waiting for its turn."))
            events.job_changed(job)
            transaction.on_commit(nudge_workers)
    except BudgetSpent as spent:
        if stage is None or stage.position == 0:  # a chain that stops in the middle tells of it itself
            paying.tell_refused(owner, name.strip() or dataset_version.dataset.name, spent)
        raise NotEnoughLeft(spent.message) from spent
    except IntegrityError:
        if plan is None:
            raise
        return TrainingJob.objects.get(plan=plan)
    except StageTaken as taken:
        if found := TrainingJob.objects.filter(chain_stage=stage).first():
            return found
        raise StartRefused(_("Its chain has been stopped, so this stage does not begin.")) from taken
    return job


def retry_job(*, job: TrainingJob) -> TrainingJob:
    """A new job with the same settings as one that ended without success; asked twice, still one."""
    if job.status not in (Status.FAILED, Status.CRASHED, Status.CANCELLED):
        raise StartRefused(
            _(
                "%(name)s is %(status)s; only a training that failed, crashed or was stopped can be tried again."
            )
            % {"name": job.name, "status": job.get_status_display().lower()}
        )
    if waiting := unfinished_retry(job):
        return waiting
    return start_job(
        owner=job.owner,
        name=job.name,
        dataset_version=job.dataset_version,
        base_model=job.base_model,
        config=job.config,
        method=job.method,
        start_adapter=job.start_adapter,
        retry_of=job,
        estimate=job.estimate,
        priority=min(job.priority, Priority.NORMAL),
        device_count=job.device_count,
        memory_bytes=job.memory_bytes,
        wanted_queue=job.wanted_queue,
    )


def unfinished_retry(job: TrainingJob, *, lock: bool = False) -> TrainingJob | None:
    """What was started to try `job` again and has not ended; with `lock`, nobody starts another meanwhile."""
    if lock:
        TrainingJob.objects.select_for_update().filter(pk=job.pk).first()
    return job.retries.unfinished().first()
