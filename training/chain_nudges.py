"""The nudge that lets a chain go on. Lost ones are made up by the sweep; a second one finds nothing to do."""

from functools import partial

from django.conf import settings
from django.db import transaction

from apex.common.queueing import send
from training.models import Chain, ChainStage, TrainingJob


def job_ended(job: TrainingJob) -> None:
    """Call it in the transaction in which a job ends: its chain, if it is in one, hears of it on commit."""
    chain_id = ChainStage.objects.filter(job=job).values_list("chain_id", flat=True).first()
    if chain_id:
        transaction.on_commit(partial(nudge, chain_id))


def nudge(chain_id) -> None:
    send(
        "training.tasks.advance_chain",
        {"chain_id": str(chain_id)},
        queue=settings.CELERY_TASK_DEFAULT_QUEUE,
        lost="the sweep will tell it again",
    )


def nudge_waiting() -> int:
    """Tells every chain under way of which no job is; returns how many."""
    waiting = list(Chain.objects.waiting_for_a_word().values_list("pk", flat=True))
    for chain_id in waiting:
        nudge(chain_id)
    return len(waiting)
