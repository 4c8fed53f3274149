"""Pages of jobs and adapters."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from apex.common.access import owned_or_404
from apex.common.downloads import made_file_response, stored_file_response
from datasets_app.models import Dataset
from training import (
    charting,
    config_words,
    engine_logs,
    job_details,
    pricing,
    selectors,
    services,
    turns,
    verdicts,
)
from training.models import Adapter, Priority, Status, TrainingJob

PER_PAGE = 25
PRIORITIES = [(Priority.NORMAL, Priority.NORMAL.label), (Priority.LOW, Priority.LOW.label)]  # to choose from
SORTS = {"name": "name", "-name": "-name", "added": "created_at", "-added": "-created_at"}


@login_required
def job_list(request):
    jobs = selectors.jobs_for_list(request.user)
    query, status = request.GET.get("q", "").replace("\0", "").strip(), request.GET.get("status", "")
    sort = request.GET.get("sort", "-added")
    if query:
        jobs = jobs.filter(name__icontains=query)
    if status in Status.values:
        jobs = jobs.filter(status=status)
    jobs = jobs.order_by(SORTS.get(sort, "-created_at"))
    page = Paginator(jobs, PER_PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "query": query, "status": status, "statuses": Status.choices, "sort": sort,
               "plans": selectors.unfinished_plans(request.user)[:5]}  # fmt: skip
    template = "training/job_list.html"
    return render(request, f"{template}#rows" if request.htmx else template, context)


@login_required
def job_detail(request, job_id):
    context = job_context(request, job_id)
    job = context["job"]
    context |= {
        "charts": charting.charts(job),
        "stops": job_details.stops(job),
        "questions": job_details.questions(job),
        "show_checkpoints": request.GET.get("show") == "checkpoints",
        "setting_groups": config_words.grouped(job),
        "attempts": job_details.attempts(job),
        "continued": TrainingJob.objects.for_user(request.user).filter(start_adapter__job=job)[:20],
    }
    return render(request, "training/job_detail.html", context)


@login_required
def job_status(request, job_id):
    """The parts of the job page that change while it runs; once it has ended, the whole page is read again."""
    context = job_context(request, job_id)
    response = render(request, "training/_job_live.html", context)
    if context["job"].has_ended:
        response["HX-Refresh"] = "true"
    return response


def job_context(request, job_id) -> dict:
    job = owned_or_404(selectors.jobs_for_list(request.user), request.user, pk=job_id)
    held = selectors.checks(job)
    started = job.facts.get("started", {})
    adapter = job.adapter
    turn = turns.turn_of(job) if job.status == Status.QUEUED else None
    return {
        "job": job,
        "adapter": adapter,
        "model_ids": ", ".join(each.model_id for each in job.adapters.all()),
        "verdict": turn.words if turn else verdicts.verdict(job, held),
        "notes": verdicts.notes(job),
        "priorities": PRIORITIES,
        "started": started,
        "cost_so_far": pricing.cost_so_far(job),
        "cost_expected": pricing.cost_expected(job),
        "finished": job.facts.get("finished", {}),
        "events": job_details.history(job),
        "last_check": held[-1] if held else None,
        "first_check": held[0] if held else None,
        "seconds": (job.ended_at - job.started_at).total_seconds()
        if job.ended_at and job.started_at
        else None,
        "site": request.build_absolute_uri("/").rstrip("/"),
    }


@login_required
def job_log(request, job_id):
    """A fragment for the job page: the end of its log."""
    job = owned_or_404(TrainingJob, request.user, pk=job_id)
    return render(request, "training/_job_log.html", {"job": job})


@login_required
def job_log_file(request, job_id):
    return log_response(owned_or_404(TrainingJob, request.user, pk=job_id))


def log_response(job: TrainingJob) -> HttpResponse:
    """All that is kept of the job's log, as a text file."""
    name = f"{slugify(job.name) or 'training'}-{str(job.pk)[:8]}.log"
    return made_file_response(engine_logs.whole_log(job), name, "text/plain; charset=utf-8")


@login_required
@require_POST
def cancel_job(request, job_id):
    job = owned_or_404(TrainingJob, request.user, pk=job_id)
    if services.cancel_job(job=job):
        messages.success(request, _("%(name)s is stopped.") % {"name": job.name})
    else:
        messages.info(request, _("%(name)s had already ended.") % {"name": job.name})
    return redirect("training:job-detail", job_id=job.pk)


@login_required
@require_POST
def pause_job(request, job_id):
    job = owned_or_404(TrainingJob, request.user, pk=job_id)
    if not services.pause_job(job=job):
        messages.info(request, _("%(name)s does not run or wait any more.") % {"name": job.name})
    elif job.status == Status.PAUSING:
        messages.success(request, _("%(name)s pauses at the end of this step.") % {"name": job.name})
    else:
        messages.success(request, _("%(name)s is paused.") % {"name": job.name})
    return redirect(back_to(request, job))


@login_required
@require_POST
def resume_job(request, job_id):
    job = owned_or_404(TrainingJob, request.user, pk=job_id)
    if services.resume_job(job=job):
        messages.success(request, _("%(name)s goes on as soon as it is its turn.") % {"name": job.name})
    else:
        messages.info(request, _("%(name)s was not paused.") % {"name": job.name})
    return redirect(back_to(request, job))


@login_required
@require_POST
def change_priority(request, job_id):
    job = owned_or_404(TrainingJob, request.user, pk=job_id)
    try:
        services.change_priority(job=job, priority=int(request.POST.get("priority", "")), by=request.user)
    except ValueError:
        messages.error(request, _("Choose when it shall run: in its turn, or when nothing else waits."))
    except services.StartRefused as problem:
        messages.error(request, str(problem))
    return redirect(back_to(request, job))


def back_to(request, job: TrainingJob) -> str:
    """The page that a button was on: the queue, or the job's own."""
    if request.POST.get("back") == "queue":
        return reverse("training:queue")
    return reverse("training:job-detail", args=[job.pk])


@login_required
@require_POST
def retry_job(request, job_id):
    job = owned_or_404(TrainingJob, request.user, pk=job_id)
    try:
        again = services.retry_job(job=job)
    except services.StartRefused as problem:
        messages.error(request, str(problem))
        return redirect("training:job-detail", job_id=job.pk)
    return redirect("training:job-detail", job_id=again.pk)


@login_required
@require_POST
def delete_job(request, job_id):
    job = owned_or_404(TrainingJob, request.user, pk=job_id)
    try:
        services.delete_job(job=job)
    except services.DeleteRefused as problem:
        messages.error(request, str(problem))
        return redirect("training:job-detail", job_id=job.pk)
    messages.success(request, _("%(name)s is deleted.") % {"name": job.name})
    return redirect("training:job-list")


@login_required
def jobs_of_dataset(request, dataset_id):
    """A fragment for the page of a dataset: the trainings that used it."""
    dataset = owned_or_404(Dataset, request.user, pk=dataset_id)
    jobs = selectors.jobs_of_dataset(request.user, dataset)[:20]
    return render(request, "training/_jobs_of_dataset.html", {"jobs": jobs})


@login_required
def lineage_of_dataset(request, dataset_id):
    """A fragment for the versions of a dataset: what learned from each of them."""
    dataset = owned_or_404(Dataset, request.user, pk=dataset_id)
    groups = selectors.jobs_by_version(request.user, dataset)
    count = sum(len(jobs) for jobs in groups.values())
    context = {"groups": list(groups.items()), "count": count}
    return render(request, "training/_lineage_of_dataset.html", context)


@login_required
def adapter_list(request):
    """A fragment for the Models page: what was learned."""
    return render(
        request, "training/_adapters.html", {"adapters": selectors.adapters_for_list(request.user)[:100]}
    )


@login_required
def download_adapter(request, adapter_id):
    adapter = owned_or_404(Adapter, request.user, pk=adapter_id)
    return adapter_response(adapter)


def adapter_response(adapter: Adapter) -> HttpResponse:
    """The adapter's directory as a zip that PEFT opens once unpacked."""
    name = f"{slugify(adapter.name) or 'adapter'}-{adapter.model_id.rpartition(':')[2]}.zip"
    return stored_file_response(adapter.directory_sha256, name, "application/zip")
