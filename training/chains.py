"""Chains: start one, let it go on when a stage has ended, stop it. What there is to do is read from the rows.

`advance_chain` may be called at any time, by anybody, as often as one likes: each stage gets one job
(`ChainStage.take_job`), each gate is asked once, each status is moved by one conditional update.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.notices import notify
from apex.common.states import move
from audit.models import Act
from audit.services import record_act
from base_models.models import BaseModel
from datasets_app.models import DatasetVersion
from training import events, gates, telling
from training.continuing import KEPT_SETTINGS
from training.models import CHAIN_MOVES, Chain, ChainStage, ChainStatus, JobEvent, Status, TrainingJob
from training.services import (
    DeleteRefused,
    StartRefused,
    cancel_job,
    refuse_early,
    settled_config,
    start_job,
)

logger = logging.getLogger(__name__)
NAME_LENGTH = 80
MOST_STAGES = 8

NEWS = {
    ChainStatus.SUCCEEDED: gettext_lazy("%(name)s has come to its end. Ask it something."),
    ChainStatus.STOPPED: gettext_lazy("%(name)s stopped at a gate: %(message)s"),
    ChainStatus.FAILED: gettext_lazy("%(name)s could not go on: %(message)s"),
}


@dataclass(frozen=True)
class StageWish:
    """What one stage shall be; `gate` as `training.gates.settle_gate` takes it."""

    method: str
    dataset_version: DatasetVersion
    config: dict[str, Any] = field(default_factory=dict)
    gate: dict[str, Any] | None = None


def start_chain(*, owner, name: str, base_model: BaseModel, stages: Sequence[StageWish]) -> Chain:
    """Makes the chain and starts its first training. Raises `StartRefused` whose field is `stages.1.config`, say."""
    if not 1 <= len(stages) <= MOST_STAGES:
        raise StartRefused(
            _("A chain has 1 to %(most)s stages, not %(count)s.")
            % {"most": MOST_STAGES, "count": len(stages)},
            field="stages",
        )
    gates_of = [check_stage(base_model, place, wish, stages[0]) for place, wish in enumerate(stages)]
    with transaction.atomic():
        chain = Chain.objects.create(
            owner=owner, name=(name.strip() or stages[0].dataset_version.dataset.name)[:NAME_LENGTH],
            base_model=base_model,
        )  # fmt: skip
        for place, (wish, gate) in enumerate(zip(stages, gates_of, strict=True)):
            ChainStage.objects.create(
                chain=chain, position=place, method=wish.method, dataset_version=wish.dataset_version,
                config=wish.config, gate=gate,
            )  # fmt: skip
    try:
        begin_stage(chain, chain.stages.select_related("dataset_version__dataset").first(), before=None)
    except StartRefused as problem:
        chain.delete()
        raise type(problem)(str(problem), field=stage_field(0, problem.field)) from problem
    events.chain_changed(chain)
    return chain


def check_stage(base_model: BaseModel, place: int, wish: StageWish, first: StageWish) -> dict:
    """What can be known before its turn comes; returns its gate. Raises `StartRefused`."""
    try:
        refuse_early(wish.dataset_version, base_model, wish.method)
        settled = settled_config(base_model, wish.config, wish.method)
        if place:
            refuse_other_shape(settled_config(base_model, first.config, first.method), settled, wish.config)
        return gates.settle_gate(wish.gate, wish.method)
    except gates.GateRefused as problem:
        raise StartRefused(str(problem), field=stage_field(place, "gate")) from problem
    except StartRefused as problem:
        raise StartRefused(str(problem), field=stage_field(place, problem.field)) from problem


def refuse_other_shape(first: dict, settled: dict, asked: dict) -> None:
    """All stages train one adapter, so its shape is that of the first."""
    for name in KEPT_SETTINGS:
        if name in asked and settled.get(name) != first.get(name):
            raise StartRefused(
                _(
                    "%(name)s is %(asked)s, but the first stage makes the adapter with %(first)s; leave it out."
                )
                % {"name": name, "asked": asked[name], "first": first.get(name)},
                field=name,
            )


def stage_field(place: int, name: str | None) -> str:
    return f"stages.{place}.{name}" if name else f"stages.{place}"


def advance_chain(chain_id) -> None:
    """Does what is next for a chain under way: judge a stage, begin one, or end the chain. Quiet if nothing is."""
    while True:
        chain = Chain.objects.under_way().select_related("base_model", "owner").filter(pk=chain_id).first()
        if chain is None:
            return
        stages = list(chain.stages.select_related("job", "dataset_version__dataset"))
        place = next((i for i, stage in enumerate(stages) if not stage.has_passed), None)
        if place is None:
            end_chain(chain, ChainStatus.SUCCEEDED, _("All stages are done."))
            return
        if not take_on(chain, stages[place], before=stages[place - 1] if place else None):
            return


def take_on(chain: Chain, stage: ChainStage, *, before: ChainStage | None) -> bool:
    """Deals with the first stage that has not passed. True: look again, there may be more to do."""
    job = stage.job
    if stage.has_passed is False:
        end_chain(chain, ChainStatus.STOPPED, stage.verdict)
        return False
    if job is None:
        try:
            begin_stage(chain, stage, before=before)
        except StartRefused as problem:
            words = _("Stage %(number)s could not begin: %(why)s")
            end_chain(chain, ChainStatus.FAILED, words % {"number": stage.position + 1, "why": problem})
        return False
    if job.status == Status.SUCCEEDED:
        return judge_stage(chain, stage, job)
    if job.has_ended:
        status = ChainStatus.CANCELLED if job.status == Status.CANCELLED else ChainStatus.FAILED
        end_chain(chain, status, ended_words(stage, job))
    return False


def ended_words(stage: ChainStage, job: TrainingJob) -> str:
    values = {"number": stage.position + 1, "name": job.name, "message": job.message}
    if job.status == Status.CANCELLED:
        return _("Stage %(number)s, %(name)s, was stopped.") % values
    return _("Stage %(number)s, %(name)s, did not come to its end: %(message)s") % values


def begin_stage(chain: Chain, stage: ChainStage, *, before: ChainStage | None) -> None:
    """Queues the stage's training, on what the stage before has learned. Nothing happens if it has one."""
    if stage.dataset_version is None:
        raise StartRefused(_("its examples were erased. Start a new chain with others."), field="dataset")
    adapter = before.job.adapter if before and before.job else None
    if before and adapter is None:
        raise StartRefused(_("what the stage before had learned was deleted. Start a new chain."))
    how = {"method": stage.method, "start_adapter": adapter}
    estimate = telling.estimate_job(stage.dataset_version, chain.base_model, stage.config, **how)
    start_job(
        owner=chain.owner,
        name=job_name(chain, stage),
        dataset_version=stage.dataset_version,
        base_model=chain.base_model,
        config=stage.config,
        stage=stage,
        estimate=estimate,
        memory_bytes=estimate.get("asks_bytes"),
        **how,
    )
    events.chain_changed(chain)


def job_name(chain: Chain, stage: ChainStage) -> str:
    """The last one bears the chain's name: what it learns is what the chain is for."""
    if stage.position == chain.stages.count() - 1:
        return chain.name
    behind = _(", stage %(number)s") % {"number": stage.position + 1}
    return chain.name[: NAME_LENGTH - len(behind)] + behind


def judge_stage(chain: Chain, stage: ChainStage, job: TrainingJob) -> bool:
    """Asks the gate, once; ends the chain if it stays shut. True if it opened."""
    verdict = gates.judge(stage.gate, job)
    with transaction.atomic():
        undecided = ChainStage.objects.filter(pk=stage.pk, job=job, has_passed__isnull=True)
        if not undecided.update(has_passed=verdict.is_open, verdict=verdict.words):
            return True  # somebody else has asked it; see what came of it
        kind = "chain.passed" if verdict.is_open else "chain.stopped"
        JobEvent.objects.create(job=job, kind=kind, message=verdict.words, data={"chain": str(chain.pk)})
        if not verdict.is_open:
            end_chain(chain, ChainStatus.STOPPED, verdict.words)
        events.job_changed(job)
        events.chain_changed(chain)
    return verdict.is_open


def end_chain(chain: Chain, status: str, message: str) -> bool:
    """Ends a chain under way and says so behind the bell, unless its owner ended it. False if it had ended."""
    with transaction.atomic():
        won = move(chain, status, moves=CHAIN_MOVES, message=message, ended_at=timezone.now())
        if won and status in NEWS:
            words = NEWS[ChainStatus(status)] % {"name": chain.name, "message": message}
            notify(owner=chain.owner, text=words, url=f"/training/chains/{chain.pk}/", kind="chain")
        if won:
            events.chain_changed(chain)
    return won


def cancel_chain(*, chain: Chain) -> bool:
    """Stops a chain under way, and its training with it. False if it had ended."""
    with transaction.atomic():
        won = end_chain(chain, ChainStatus.CANCELLED, _("Stopped by its owner."))
        if won:
            for job in TrainingJob.objects.unfinished().filter(chain_stage__chain=chain):
                cancel_job(job=job)
    return won


def go_on(*, chain: Chain) -> bool:
    """Lets a chain go on that stopped: past the gate that stayed shut, or with its stage tried again.

    False if it is under way or has come to its end.
    """
    with transaction.atomic():
        if not move(chain, ChainStatus.RUNNING, moves=CHAIN_MOVES, message="", ended_at=None):
            return False
        stage = chain.stages.select_related("job").exclude(has_passed=True).first()
        if stage and stage.has_passed is False:
            verdict = f"{stage.verdict} {_('Its owner let it go on anyway.')}"
            ChainStage.objects.filter(pk=stage.pk).update(has_passed=True, verdict=verdict)
        elif stage and stage.job and stage.job.has_ended and stage.job.status != Status.SUCCEEDED:
            ChainStage.objects.filter(pk=stage.pk).update(job=None)
        events.chain_changed(chain)
    advance_chain(chain.pk)
    chain.refresh_from_db()
    return True


def delete_chain(*, chain: Chain) -> None:
    """Deletes a chain that has ended; its trainings and what they learned stay. Raises `DeleteRefused`."""
    with transaction.atomic():
        chain = Chain.objects.select_for_update().get(pk=chain.pk)
        if not chain.has_ended:
            raise DeleteRefused(_("%(name)s is still under way; stop it first.") % {"name": chain.name})
        record_act(Act.DELETED, subject=chain)
        chain.delete()
