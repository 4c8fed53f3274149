"""Parts of the job page that have a life of their own: checkpoints that are tried and kept, answers so far."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from apex.common.access import owned_or_404
from training import job_details, kept_checkpoints, services
from training.checkpoint_files import CheckpointUnusable
from training.models import Adapter, TrainingJob


@login_required
def checkpoint_list(request, job_id):
    job = owned_or_404(TrainingJob, request.user, pk=job_id)
    context = {"job": job, "stops": job_details.stops(job)}
    return render(request, "training/_checkpoint_list.html", context)


@login_required
@require_POST
def keep_checkpoint(request, job_id, step):
    job = owned_or_404(TrainingJob, request.user, pk=job_id)
    try:
        adapter = kept_checkpoints.keep_checkpoint(job=job, step=step)
    except CheckpointUnusable as problem:
        messages.error(request, str(problem))
    else:
        messages.success(
            request,
            _("%(name)s is kept. Programs call it %(id)s.") % {"name": adapter.name, "id": adapter.model_id},
        )
    return to_checkpoints(job.pk)


@login_required
@require_POST
def delete_adapter(request, adapter_id):
    adapter = owned_or_404(Adapter, request.user, pk=adapter_id)
    try:
        kept_checkpoints.delete_adapter(adapter=adapter)
    except services.DeleteRefused as problem:
        messages.error(request, str(problem))
    else:
        messages.success(request, _("%(name)s is deleted.") % {"name": adapter.name})
    return to_checkpoints(adapter.job_id)


def to_checkpoints(job_id):
    return redirect(reverse("training:job-detail", args=[job_id]) + "?show=checkpoints#checkpoints")


@login_required
def sample_list(request, job_id):
    job = owned_or_404(TrainingJob, request.user, pk=job_id)
    context = {"job": job, "questions": job_details.questions(job)}
    return render(request, "training/_sample_list.html", context)
