"""What people ask for: start, pause, go on, cancel, try again, delete."""

from importlib import import_module

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apex.common.states import move
from audit.models import Act
from audit.services import record_act
from base_models.models import BaseModel
from datasets_app.models import DatasetVersion
from datasets_app.reference_rows import check_unchanged
from datasets_app.services import delete_mark
from datasets_app.sources import SourceError
from datasets_app.template_check import TemplateRefused, check_template
from ledger.refusals import BudgetSpent
from training import chain_nudges, continuing, events, paying
from training.engine.methods import METHODS
from training.engine.setting import ConfigError
from training.kinds import refusal_of
from training.models import (
    MOVES,
    Adapter,
    ChainStage,
    ChainStatus,
    JobEvent,
    Plan,
    Priority,
    Status,
    TrainingJob,
)
from training.queueing import choose_queue, nudge_workers

# Settings of which the best value depends on what is learned, not on the model alone.
ABOUT_LEARNING = (
    "epochs",
    "learning_rate",
    "lr_scheduler_type",
    "warmup_ratio",
    "weight_decay",
    "lora_dropout",
    "min_steps",
    "max_steps",
)
NAME_LENGTH = TrainingJob._meta.get_field("name").max_length


class StartRefused(Exception):
    """A job cannot start as asked. `field` names what to change; the message says how."""

    def __init__(self, message: str, field: str | None = None):
        super().__init__(message)
        self.field = field


class NotEnoughLeft(StartRefused):
    """A budget has less left than the training is expected to cost; the message is the arithmetic."""


class StageTaken(Exception):
    """The stage has its job already, or its chain is not under way: the job just made is undone."""


class DeleteRefused(Exception):
    """The thing is in use; the message says by what."""


def refuse_unknown_method(method: str) -> None:
    """Raises `StartRefused`. A drill is only there where tests have switched it on."""
    known = [name for name, found in METHODS.items() if found.is_offered or settings.TRAINING_DRILLS]
    if method not in known:
        words = _("There is no method %(method)s; there are %(known)s.")
        raise StartRefused(words % {"method": method, "known": ", ".join(known)}, field="method")


def suits(base_model: BaseModel, method: str) -> dict:
    """What is known to suit a base model: what stands under the method's own name, before what was found for learning
    by example, of which other methods take what concerns the model and its memory."""
    if not METHODS[method].is_offered:
        return {}
    found = base_model.recommended_config
    shared = {name: value for name, value in found.items() if name not in METHODS}
    kept = {name: value for name, value in shared.items() if method == "sft" or name not in ABOUT_LEARNING}
    return kept | found.get(method, {})


def settled_config(
    base_model: BaseModel,
    config: dict | None,
    method: str = "sft",
    start_adapter: Adapter | None = None,
) -> dict:
    """All settings of a job: what was asked for, else what suits the base model, else the method's defaults.

    An adapter to go on from brings its shape. Raises `StartRefused` that names the field, the value received and the
    bounds.
    """
    refuse_unknown_method(method)
    asked = config or {}
    try:
        kept = continuing.settings_of(start_adapter, asked) if start_adapter else {}
        given = {**suits(base_model, method), **asked, **kept}
        return METHODS[method].config.from_dict(given, method).to_dict(method)
    except (ConfigError, continuing.CannotContinue) as problem:
        raise StartRefused(str(problem), field=problem.field) from problem


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


def refuse_split(settled: dict, method: str, device_count: int) -> None:
    """Raises `StartRefused` where the base model would be split and the method cannot do that."""
    if device_count > 1 and settled.get("spread") == "fsdp" and not METHODS[method].can_split:
        words = _("spread is fsdp, which cannot be used to compare or mark answers (%(method)s); take ddp.")
        raise StartRefused(words % {"method": method}, field="spread")


def refuse_early(version: DatasetVersion, base_model: BaseModel, method: str) -> None:
    """Raises `StartRefused` for what is plain before anything is read: away, erased, of another kind, or empty."""
    refuse_unknown_method(method)
    if not base_model.is_on_this_machine:
        raise StartRefused(
            _("%(name)s is not on this machine yet; choose a base model that is.")
            % {"name": base_model.name},
            field="base_model",
        )
    refuse_erased(version)
    if refusal := refusal_of(version, method):
        raise StartRefused(refusal, field="dataset")
    if version.train_count == 0:
        raise StartRefused(
            _("%(name)s has no example to learn from; add some first.") % {"name": version.dataset.name},
            field="dataset",
        )


def refuse_erased(version: DatasetVersion, *, lock: bool = False) -> None:
    """Raises `StartRefused` if the examples are gone; with `lock`, they cannot go before the transaction ends."""
    versions = DatasetVersion.objects.select_for_update() if lock else DatasetVersion.objects
    current = versions.filter(pk=version.pk).first()
    if current is None or current.erased_at:
        raise StartRefused(
            _(
                "The examples of %(name)s, version %(number)s, were erased, so nothing can be learned from them "
                "any more. Choose other examples."
            )
            % {"name": version.dataset.name, "number": version.number},
            field="dataset",
        )


def refuse_start(adapter: Adapter, *, owner, base_model: BaseModel, lock: bool = False) -> None:
    try:
        continuing.check_start(adapter, owner=owner, base_model=base_model, lock=lock)
    except continuing.CannotContinue as problem:
        raise StartRefused(str(problem), field=problem.field) from problem


def cancel_job(*, job: TrainingJob) -> bool:
    """Stops a job that waits or runs, for good. The worker ends its child within seconds. False if it had ended."""
    with transaction.atomic():
        won = move(job, Status.CANCELLED, moves=MOVES, ended_at=timezone.now(), eta_seconds=None)
        if won:
            JobEvent.objects.create(job=job, kind="job.cancelled", message=_("Stopped by its owner."))
            paying.release_for(job)
            chain_nudges.job_ended(job)
            events.job_changed(job)
    return won


def pause_job(*, job: TrainingJob) -> bool:
    """Lets a job rest. One that waits rests at once; one that runs saves where it is first. False if it cannot."""
    with transaction.atomic():
        if move(job, Status.PAUSED, moves=MOVES, where={"status": Status.QUEUED}):
            JobEvent.objects.create(job=job, kind="training.paused", message=_("Paused while it waited."))
        elif move(job, Status.PAUSING, moves=MOVES):
            words = _("Its owner pauses it; it saves where it is at the end of this step.")
            JobEvent.objects.create(job=job, kind="training.pausing", message=words)
        else:
            return False
        events.job_changed(job)
    return True


def resume_job(*, job: TrainingJob) -> bool:
    """Lets a paused job go on: it waits for its turn again. False if it does not rest."""
    with transaction.atomic():
        won = move(job, Status.QUEUED, moves=MOVES, where={"status": Status.PAUSED}, queued_at=timezone.now())
        if won:
            JobEvent.objects.create(job=job, kind="job.resumed", message=_("Goes on; waiting for its turn."))
            events.job_changed(job)
            transaction.on_commit(nudge_workers)
    return won


def change_priority(*, job: TrainingJob, priority: int, by) -> None:
    """Lets a job that has not ended wait more or less patiently. Raises `StartRefused`."""
    refuse_priority(by, priority)
    changed = TrainingJob.objects.unfinished().filter(pk=job.pk).update(priority=priority)
    if not changed:
        raise StartRefused(_("%(name)s has ended; its turn is over.") % {"name": job.name}, field="priority")
    job.priority = priority
    events.job_changed(job)


def refuse_priority(user, priority: int) -> None:
    """Raises `StartRefused` for a priority that there is not, or that is not this user's to give."""
    if priority not in Priority.values:
        raise StartRefused(
            _("The priority is %(value)s; it can be -1, 0 or 1.") % {"value": priority}, field="priority"
        )
    if priority > Priority.NORMAL and not user.is_superuser:
        raise StartRefused(_("Only administrators put a training before the others."), field="priority")


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


def delete_job(*, job: TrainingJob) -> None:
    """Deletes an ended job, all adapters that it left and what it saved on the way.

    Raises `DeleteRefused` while it waits or runs, or while what it learned is at work or another training goes
    on from it.
    """
    with transaction.atomic():
        job = TrainingJob.objects.select_for_update().get(pk=job.pk)
        if not job.has_ended:
            raise DeleteRefused(_("%(name)s is still at work; stop it first.") % {"name": job.name})
        refuse_in_chain(job)
        adapters = list(job.adapters.select_for_update())
        refuse_continued(adapters)
        refuse_in_use(adapters)
        Adapter.objects.filter(job=job).delete()
        version = job.dataset_version
        record_act(Act.DELETED, subject=job, adapters=[adapter.model_id for adapter in adapters])
        job.delete()
        delete_mark(version=version)


def refuse_in_chain(job: TrainingJob) -> None:
    """Raises `DeleteRefused` while a chain is under way that the job is a stage of."""
    stage = (
        ChainStage.objects.filter(job=job, chain__status=ChainStatus.RUNNING).select_related("chain").first()
    )
    if stage:
        raise DeleteRefused(
            _("%(name)s is a stage of %(chain)s, which is under way; stop that first.")
            % {"name": job.name, "chain": stage.chain.name}
        )


def refuse_continued(adapters) -> None:
    """Raises `DeleteRefused` if another training began with one of these adapters, and names both."""
    later = (
        TrainingJob.objects.filter(start_adapter__in=adapters)
        .select_related("start_adapter")
        .order_by("created_at")
        .first()
    )
    if later:
        raise DeleteRefused(
            _("%(later)s goes on from %(name)s, so that stays; delete %(later)s first.")
            % {"later": later.name, "name": later.start_adapter.name}
        )


def refuse_in_use(adapters) -> None:
    """Raises `DeleteRefused` if an app above needs one of these adapters (`settings.ADAPTER_USERS`)."""
    for module in settings.ADAPTER_USERS:
        if words := import_module(module).use_of(adapters):
            raise DeleteRefused(words)


def delete_plan(*, plan: Plan) -> None:
    plan.delete()
