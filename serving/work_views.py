"""Pages of what is at work: the list, one deployment, and what its owner does with it."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from apex.common.access import owned_or_404
from serving import deploying, selectors, work_details
from serving.models import Deployment
from training.models import Adapter


@login_required
@require_GET
def work_list(request):
    context = {"works": work_details.works_for(request.user)}
    template = "serving/work_list.html"
    return render(request, f"{template}#rows" if request.htmx else template, context)


@login_required
@require_GET
def work_detail(request, deployment_id):
    """The page; for a page that is open already only what moves, and the whole once it has come to rest."""
    deployment = deployment_or_404(request.user, deployment_id)
    work = work_details.work_of(deployment)
    if request.htmx:
        response = render(request, "serving/_work_state.html", {"work": work, "deployment": deployment})
        if not work.is_moving:
            response["HX-Refresh"] = "true"
        return response
    context = {
        "work": work,
        "deployment": deployment,
        "versions": work_details.versions_of(deployment),
        "can_roll_back": work_details.can_roll_back(deployment),
        "next_adapters": work_details.next_adapters(deployment),
        "events": deployment.events.select_related("by").order_by("-id")[:100],
        "site": request.build_absolute_uri("/").rstrip("/"),
    }
    return render(request, "serving/work_detail.html", context)


@login_required
@require_GET
def adapter_work(request, adapter_id):
    """A fragment for pages that show an adapter: whether it is at work, and the button that puts it there."""
    adapter = selectors.adapter_or_404(request.user, adapter_id)
    context = {"adapter": adapter, "work": work_details.work_of_adapter(adapter)}
    return render(request, "serving/_adapter_work.html", context)


@login_required
@require_POST
def deploy(request, adapter_id):
    adapter = selectors.adapter_or_404(request.user, adapter_id)
    try:
        deployment = deploying.deploy_adapter(adapter=adapter, by=request.user)
    except deploying.DeployRefused as problem:
        messages.error(request, str(problem))
        return redirect("training:job-detail", job_id=adapter.job_id)
    return redirect("serving:work-detail", deployment_id=deployment.pk)


@login_required
@require_POST
def switch(request, deployment_id):
    deployment = deployment_or_404(request.user, deployment_id)
    adapter = owned_or_404(Adapter, request.user, pk=request.POST.get("adapter", ""))
    why = request.POST.get("why", "").strip()[:500]
    try:
        new = deploying.switch_deployment(deployment=deployment, adapter=adapter, by=request.user, why=why)
    except deploying.DeployRefused as problem:
        messages.error(request, str(problem))
        return redirect("serving:work-detail", deployment_id=deployment.pk)
    return redirect("serving:work-detail", deployment_id=new.pk)


@login_required
@require_POST
def roll_back(request, deployment_id):
    deployment = deployment_or_404(request.user, deployment_id)
    try:
        before = deploying.roll_back(deployment=deployment, by=request.user)
    except deploying.DeployRefused as problem:
        messages.error(request, str(problem))
        return redirect("serving:work-detail", deployment_id=deployment.pk)
    messages.success(request, _("Version %(version)s is on its way back.") % {"version": before.version})
    return redirect("serving:work-detail", deployment_id=before.pk)


@login_required
@require_POST
def try_again(request, deployment_id):
    deployment = deployment_or_404(request.user, deployment_id)
    try:
        deploying.try_again(deployment=deployment, by=request.user)
    except deploying.DeployRefused as problem:
        messages.error(request, str(problem))
    return redirect("serving:work-detail", deployment_id=deployment.pk)


@login_required
@require_POST
def unload(request, deployment_id):
    deployment = deployment_or_404(request.user, deployment_id)
    if deploying.unload_deployment(deployment=deployment, by=request.user):
        messages.success(request, _("%(name)s is taken down.") % {"name": deployment.adapter.name})
    return redirect("serving:work-detail", deployment_id=deployment.pk)


def deployment_or_404(user, deployment_id) -> Deployment:
    return owned_or_404(selectors.deployments_for(user), user, pk=deployment_id)
