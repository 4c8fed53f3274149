"""What the model sees: one example token by token, and the whole version in plots."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from apex.common.access import owned_or_404
from apex.common.calls import curl
from base_models.models import BaseModel
from datasets_app.models import Dataset, DatasetVersion
from datasets_app.reference_rows import rows_shown
from datasets_app.selectors import plots, profile
from datasets_app.views.catalogue import number_in
from rendering import RenderError


@login_required
@require_GET
def dataset_profile(request: HttpRequest, dataset_id) -> HttpResponse:
    """The page; asked by htmx for the example alone, that part of it."""
    dataset = owned_or_404(Dataset, request.user, pk=dataset_id)
    context = {"dataset": dataset} | choices(request, dataset)
    if context["version"] and context["base_model"]:
        context |= row_context(request, context["version"], context["base_model"], context["max_length"])
        context["api_curl"] = both_calls(request, dataset, context)
    part = "#example" if request.htmx and request.htmx.target == "example" else ""
    return render(request, f"datasets_app/profile.html{part}", context)


@login_required
@require_GET
def dataset_plots(request: HttpRequest, dataset_id) -> HttpResponse:
    """The part of the page about the whole version; asks again by itself while a worker counts."""
    dataset = owned_or_404(Dataset, request.user, pk=dataset_id)
    context = {"dataset": dataset} | choices(request, dataset)
    version, base_model = context["version"], context["base_model"]
    if version and base_model:
        try:
            found = plots.whole_profile(version, base_model, context["max_length"])
            context |= {"found": found, "plots": plots.plots_of(found)}
        except (RenderError, OSError) as problem:
            context["problem"] = str(problem)
    is_asked_again = request.htmx.target == "counting"
    if is_asked_again and context.get("found", {}).get("is_counting"):
        return render(request, "datasets_app/_profile_plots.html#counting", context)
    response = render(request, "datasets_app/_profile_plots.html", context)
    if is_asked_again:  # all is counted: the whole part is new
        response["HX-Retarget"], response["HX-Reswap"] = "#whole", "outerHTML"
    return response


def choices(request: HttpRequest, dataset: Dataset) -> dict:
    """Version, base model and max length that the address asks for; what it cannot have is told in `refused`."""
    found = {"base_models": profile.usable_base_models(), "refused": ""}
    found["version"] = profile.chosen_version(dataset, request.GET.get("version", "")) or dataset.latest
    try:
        found["base_model"] = profile.chosen_base_model(request.GET.get("base_model", ""))
    except profile.BadChoice as problem:
        found |= {"refused": str(problem), "base_model": profile.chosen_base_model("")}
    if found["base_model"] is None:
        return found
    try:
        found["max_length"] = profile.chosen_max_length(
            request.GET.get("max_length", "").strip(), found["base_model"]
        )
    except profile.BadChoice as problem:
        found |= {"refused": str(problem), "max_length": found["base_model"].usual_length}
    return found


def row_context(
    request: HttpRequest, version: DatasetVersion, base_model: BaseModel, max_length: int
) -> dict:
    """One example as the model reads it. `example` in the address counts from 1, as people do."""
    total = rows_shown(version)
    number = max(1, min(number_in(request, "example", 1), total))
    context = {"number": number, "total": total, "row": None, "readings": []}
    context["previous"] = number - 1 if number > 1 else None
    context["next"] = number + 1 if number < total else None
    try:
        row = context["row"] = profile.row_at(version, number - 1)
        if row is None:
            return context
        readings = profile.readings_of(row, version.kind, base_model, max_length)
        context["readings"] = [profile.shown(reading) for reading in readings]
    except profile.NotRendered as problem:
        context |= {"problem": str(problem), "advice": problem.advice}
    return context


def both_calls(request: HttpRequest, dataset: Dataset, context: dict) -> str:
    """Both calls of this page: the example, and the whole version."""
    asked = f"base_model={context['base_model'].name}&max_length={context['max_length']}"
    row = reverse("api-dataset-row-rendered", args=[dataset.pk, context["number"] - 1])
    whole = reverse("api-dataset-profile", args=[dataset.pk])
    return "\n".join(curl(request, f"{path}?{asked}") for path in (row, whole))
