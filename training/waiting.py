"""The waiting jobs and the devices as they are now, for `training.ordering`: what is next, and why a job waits."""

from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from training.models import HELD, Attempt, Device, TrainingJob
from training.ordering import NEVER, Asked, Reason, Slot, in_order, next_for, reasons

FAIR_HOURS = 24


def slots() -> list[Slot]:
    """Every device that was ever announced, with who has it and for about how long still."""
    rows = Device.objects.select_related("node", "holder__job").order_by("pk")
    return [
        Slot(
            queue=device.queue,
            node=device.node_id,
            kind=device.kind,
            memory_bytes=device.memory_bytes,
            cpus=device.node.cpus,
            is_online=device.node.is_online,
            is_enabled=device.is_enabled,
            holder=device.holder.job_id if device.holder else None,
            free_in=seconds_left(device.holder.job) if device.holder else 0.0,
        )
        for device in rows
    ]


def seconds_left(job: TrainingJob) -> float:
    """How long a job at work still takes, as it says itself, else as was expected; NEVER if nobody knows. Above 0."""
    left = job.eta_seconds if job.eta_seconds is not None else job.estimate.get("seconds")
    return NEVER if left is None else max(1.0, float(left))


def expected_seconds(job: TrainingJob) -> float | None:
    """What is still to be done of a waiting job, by its estimate and how far it had come."""
    whole = job.estimate.get("seconds")
    return None if whole is None else float(whole) * (1 - job.progress)


def asked_of(job: TrainingJob) -> Asked:
    return Asked(
        job=job.pk,
        owner=job.owner_id,
        place=(job.queued_at or job.created_at, job.created_at, str(job.pk)),
        priority=job.priority,
        device_count=job.device_count,
        memory_bytes=job.memory_bytes,
        wanted_queue=job.wanted_queue,
        seconds=expected_seconds(job),
    )


def order() -> list[Asked]:
    """The waiting jobs, the next first."""
    waiting = [asked_of(job) for job in TrainingJob.objects.waiting()]
    return in_order(waiting, devices_at_work(), lately_used()) if len(waiting) > 1 else waiting


def devices_at_work() -> dict:
    """Owner → devices that their trainings have now."""
    found: dict = {}
    held = TrainingJob.objects.filter(status__in=HELD).values_list("owner_id", "device_count")
    for owner, count in held:
        found[owner] = found.get(owner, 0) + count
    return found


def lately_used() -> dict:
    """Owner → device-seconds of their attempts in the last day."""
    now = timezone.now()
    since = now - timedelta(hours=FAIR_HOURS)
    rows = Attempt.objects.filter(Q(ended_at__isnull=True) | Q(ended_at__gt=since)).values_list(
        "job__owner_id", "started_at", "ended_at", "device_count"
    )
    found: dict = {}
    for owner, started_at, ended_at, count in rows:
        seconds = ((ended_at or now) - max(started_at, since)).total_seconds()
        found[owner] = found.get(owner, 0.0) + max(0.0, seconds) * count
    return found


def take_next(queue: str) -> tuple[Asked, list[str]] | None:
    """What a worker of this queue shall begin now, and on which devices."""
    waiting = order()
    return next_for(queue, waiting, slots()) if waiting else None


def why() -> dict[object, Reason]:
    """Waiting job → why it waits."""
    return reasons(order(), slots())


def queues_to_nudge() -> list[str]:
    """The queues of devices for which there is something to do now."""
    waiting = order()
    if not waiting:
        return []
    devices = slots()
    return [slot.queue for slot in devices if slot.holder is None and next_for(slot.queue, waiting, devices)]
