"""What a training left is deleted, unless something needs it."""

from importlib import import_module

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from audit.models import Act
from audit.services import record_act
from datasets_app.services import delete_mark
from training.models import Adapter, ChainStage, ChainStatus, Plan, TrainingJob


class DeleteRefused(Exception):
    """The thing is in use; the message says by what."""


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
