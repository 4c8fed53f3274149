"""The Models page: what training can start from, and what was learned."""

from pathlib import Path

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from base_models import services
from base_models.directory import UnusableModel
from base_models.forms import AddModelForm
from base_models.models import BaseModel


@login_required
def model_list(request):
    form = AddModelForm() if request.user.is_superuser else None
    return render(
        request, "base_models/model_list.html", {"base_models": BaseModel.objects.all(), "form": form}
    )


@login_required
@require_POST
def add_model(request):
    """Superusers only: it can read any directory that the server can."""
    if not request.user.is_superuser:
        raise PermissionDenied
    form = AddModelForm(request.POST)
    if form.is_valid():
        location, name = form.cleaned_data["location"], form.cleaned_data["name"]
        try:
            if location.startswith(("/", "~", ".")):
                model = services.add_directory(path=Path(location), name=name)
                messages.success(
                    request, _("%(name)s is ready to be trained.") % {"name": model.display_name}
                )
            else:
                model = services.add_from_hub(hub_id=location, name=name)
                messages.success(request, _("%(name)s is being downloaded.") % {"name": model.display_name})
            return redirect("base_models:model-list")
        except (UnusableModel, services.AddRefused) as problem:
            form.add_error("location", str(problem))
    models = BaseModel.objects.all()
    return render(request, "base_models/model_list.html", {"base_models": models, "form": form}, status=422)


@login_required
def model_detail(request, name):
    model = get_object_or_404(BaseModel, name=name)
    return render(request, "base_models/model_detail.html", {"model": model})
