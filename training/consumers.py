"""Sockets of the job pages."""

from apex.common.sockets import PageConsumer
from training.events import job_group
from training.models import TrainingJob


class JobConsumer(PageConsumer):
    """`/ws/training/jobs/<uuid>/`: points and changes of one job, for its owner."""

    async def group_for(self, user) -> str | None:
        job_id = self.scope["url_route"]["kwargs"]["job_id"]
        owns = await TrainingJob.objects.for_user(user).filter(pk=job_id).aexists()
        return job_group(job_id) if owns else None
