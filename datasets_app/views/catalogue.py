"""The Data pages: one's examples, one set with its verdict and preview, and bringing more."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apex.common.access import owned_or_404
from apex.common.calls import curl
from datasets_app import selectors, services
from datasets_app.forms import FileForm, RenameForm, TypedForm
from datasets_app.models import Dataset
from datasets_app.views.reports import report_in_page

PAGE_SIZE = 25
FAULTS_SHOWN = 20
# The fields around a file take some bytes of their own.
BODY_SLACK = 1024 * 1024


@login_required
@require_GET
def dataset_list(request: HttpRequest) -> HttpResponse:
    query = request.GET.get("q", "").replace("\x00", "").strip()  # PostgreSQL takes no zero bytes
    sort = request.GET.get("sort", "-added")
    sort = sort if sort in selectors.SORTS else "-added"
    page = Paginator(selectors.datasets_for_list(request.user, query, sort), PAGE_SIZE).get_page(
        request.GET.get("page")
    )
    page.object_list = selectors.attach_latest(list(page.object_list))
    context = {"page": page, "query": query, "sort": sort, "totals": selectors.totals(request.user),
               "imports": selectors.imports_to_show(request.user)}  # fmt: skip
    context["api_curl"] = call_that_adds(request)
    template = "datasets_app/dataset_list.html" + (
        "#rows" if request.htmx and not request.htmx.boosted else ""
    )
    return render(request, template, context)


def call_that_adds(request: HttpRequest) -> str:
    return curl(request, reverse("api-dataset-list"), more="-F name=Letters -F file=@letters.jsonl")


def body_is_too_large(request: HttpRequest) -> bool:
    limit = services.upload_limit(request.user)
    return int(request.META.get("CONTENT_LENGTH") or 0) > limit + BODY_SLACK


# The size is looked at before anything parses the body, and the CSRF check parses it.
@csrf_exempt
@login_required
@require_http_methods(["GET", "POST"])
def dataset_add(request: HttpRequest) -> HttpResponse:
    if request.method == "POST" and body_is_too_large(request):
        refused = str(services.too_large(services.upload_limit(request.user)))
        context = {
            "source": "file",
            "form": FileForm(),
            "refused": refused,
            "api_curl": call_that_adds(request),
        }
        return render(request, "datasets_app/dataset_add.html", context, status=413)
    return take_dataset(request)


@csrf_protect
def take_dataset(request: HttpRequest) -> HttpResponse:
    """A new set from a file or from what was typed; the form comes back with the faults when it cannot be used."""
    source = request.POST.get("source") or request.GET.get("from")
    source = source if source in ("file", "typed") else "file"
    form_class = TypedForm if source == "typed" else FileForm
    form = (
        form_class(request.POST or None, request.FILES or None) if request.method == "POST" else form_class()
    )
    context = {"source": source, "form": form, "api_curl": call_that_adds(request)}
    if request.method == "POST" and form.is_valid():
        asked = form.cleaned_data
        file = asked.get("file")
        file_name = file.name if file else ""
        try:
            if services.is_for_a_worker(file):
                imported = services.import_file(owner=request.user, file=file, name=asked["name"])
                return redirect("datasets:import-detail", import_id=imported.pk)
            version = services.create_dataset(
                owner=request.user,
                name=asked["name"] or services.free_name(owner=request.user, wanted=file_name),
                file=file,
                text=asked.get("text"),
                file_name=file_name,
            )
        except services.NameTaken as problem:
            form.add_error("name", str(problem))
        except services.DatasetRefused as problem:
            imported = services.keep_for_columns(
                problem=problem, owner=request.user, file=file, text=asked.get("text"), name=asked["name"]
            )
            if imported:
                return redirect("datasets:import-detail", import_id=imported.pk)
            context |= {
                "refused": str(problem),
                "faults": problem.faults,
                "report_url": report_in_page(problem),
            }
        else:
            return redirect("datasets:dataset-detail", dataset_id=version.dataset_id)
    status = 422 if request.method == "POST" else 200
    return render(request, "datasets_app/dataset_add.html", context, status=status)


@login_required
@require_POST
def dataset_demo(request: HttpRequest) -> HttpResponse:
    """The example set, made once."""
    try:
        version = services.demo_dataset(owner=request.user)
    except services.DatasetRefused as problem:
        messages.error(request, str(problem))
        return redirect("datasets:dataset-list")
    return redirect("datasets:dataset-detail", dataset_id=version.dataset_id)


def number_in(request: HttpRequest, name: str, default: int) -> int:
    """A number from the address, or `default` for anything else."""
    text = request.GET.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else default


def detail_context(request: HttpRequest, dataset: Dataset) -> dict:
    versions = list(selectors.versions_of(dataset))
    wanted = number_in(request, "version", 0)
    version = next((each for each in versions if each.number == wanted), versions[0] if versions else None)
    context = {"dataset": dataset, "versions": versions, "version": version, "faults": []}
    context["preview_url"] = reverse("datasets:dataset-detail", args=[dataset.pk])
    context["api_curl"] = curl(request, reverse("api-dataset-rows", args=[dataset.pk]) + "?page_size=20")
    if version:
        context |= selectors.preview(version, number_in(request, "example", 0))
        context["faults"] = selectors.first_faults(version, FAULTS_SHOWN)
    return context


@login_required
@require_GET
def dataset_detail(request: HttpRequest, dataset_id) -> HttpResponse:
    dataset = owned_or_404(Dataset, request.user, pk=dataset_id)
    context = detail_context(request, dataset)
    return render(
        request, "datasets_app/dataset_detail.html", context | {"rename_form": RenameForm(instance=dataset)}
    )


@csrf_exempt
@login_required
@require_POST
def version_add(request: HttpRequest, dataset_id) -> HttpResponse:
    dataset = owned_or_404(Dataset, request.user, pk=dataset_id)
    if body_is_too_large(request):
        messages.error(request, str(services.too_large(services.upload_limit(request.user))))
        return redirect("datasets:dataset-detail", dataset_id=dataset.pk)
    return take_version(request, dataset)


@csrf_protect
def take_version(request: HttpRequest, dataset: Dataset) -> HttpResponse:
    """The next version from a file."""
    refused, faults, report_url = _("No file came. Choose one, or drop it on the field."), [], ""
    file = request.FILES.get("file")
    if file is not None:
        try:
            if services.is_for_a_worker(file):
                imported = services.import_file(owner=request.user, file=file, dataset=dataset)
                return redirect("datasets:import-detail", import_id=imported.pk)
            services.add_version(dataset=dataset, file=file, file_name=file.name)
            messages.success(request, _("“%(name)s” has a new version.") % {"name": dataset.name})
            return redirect("datasets:dataset-detail", dataset_id=dataset.pk)
        except services.DatasetRefused as problem:
            imported = services.keep_for_columns(
                problem=problem, owner=request.user, file=file, dataset=dataset
            )
            if imported:
                return redirect("datasets:import-detail", import_id=imported.pk)
            refused, faults, report_url = str(problem), problem.faults, report_in_page(problem)
    context = detail_context(request, dataset)
    context |= {
        "rename_form": RenameForm(instance=dataset),
        "refused": refused,
        "refused_faults": faults,
        "report_url": report_url,
    }
    return render(request, "datasets_app/dataset_detail.html", context, status=422)


@login_required
@require_POST
def dataset_rename(request: HttpRequest, dataset_id) -> HttpResponse:
    dataset = owned_or_404(Dataset, request.user, pk=dataset_id)
    # A form of its own row: validating writes into the instance, and the page still shows the old name.
    form = RenameForm(request.POST, instance=owned_or_404(Dataset, request.user, pk=dataset_id))
    if form.is_valid():
        try:
            services.rename_dataset(dataset=dataset, **form.cleaned_data)
            messages.success(request, _("Saved."))
            return redirect("datasets:dataset-detail", dataset_id=dataset.pk)
        except services.NameTaken as problem:
            form.add_error("name", str(problem))
    context = detail_context(request, dataset) | {"rename_form": form}
    return render(request, "datasets_app/dataset_detail.html", context, status=422)
