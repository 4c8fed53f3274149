"""Data that stays where it is: pasting an address, and looking again whether it has changed."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from apex.common.access import owned_or_404
from apex.common.calls import curl
from datasets_app import services
from datasets_app.connection_forms import ReferenceForm
from datasets_app.models import Connection, Dataset, DatasetVersion
from datasets_app.sources import SCHEMES
from datasets_app.sources.file import allowed_directories


@login_required
@require_http_methods(["GET", "POST"])
def reference_add(request: HttpRequest) -> HttpResponse:
    """A new set, or with `?dataset=` the next version of one, from an address."""
    asked_for = request.POST.get("dataset") or request.GET.get("dataset")
    dataset = owned_or_404(Dataset, request.user, pk=asked_for) if asked_for else None
    connections = Connection.objects.for_user(request.user).order_by("name")
    form = ReferenceForm(request.POST or None, connections=connections, with_name=dataset is None)
    if request.method == "POST" and form.is_valid():
        try:
            imported = services.refer(owner=request.user, dataset=dataset, **form.cleaned_data)
        except services.NameTaken as problem:
            form.add_error("name", str(problem))
        except services.ReferenceRefused as problem:
            form.add_error(problem.field, str(problem))
        else:
            return redirect("datasets:import-detail", import_id=imported.pk)
    context = {
        "form": form,
        "dataset": dataset,
        "connections": connections,
        "shapes": [module.SHAPE for module in dict.fromkeys(SCHEMES.values())],
        "directories": [str(directory) for directory in allowed_directories()],
        "api_curl": curl(
            request, reverse("api-dataset-list"), send={"uri": "https://example.org/letters.jsonl"}
        ),
    }
    status = 422 if request.method == "POST" else 200
    return render(request, "datasets_app/reference_add.html", context, status=status)


@login_required
@require_POST
def reference_again(request: HttpRequest, version_id) -> HttpResponse:
    """What is at the address now becomes the next version."""
    version = owned_or_404(
        DatasetVersion.objects.select_related("reference__connection", "dataset", "owner"),
        request.user,
        pk=version_id,
    )
    if version.reference is None or version.erased_at:
        raise Http404
    try:
        imported = services.check_again(version=version)
    except services.ReferenceRefused as problem:
        messages.error(request, _("It cannot be checked again: %(why)s") % {"why": problem})
        return redirect("datasets:dataset-detail", dataset_id=version.dataset_id)
    return redirect("datasets:import-detail", import_id=imported.pk)
