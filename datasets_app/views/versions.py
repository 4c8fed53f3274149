"""The versions of a set: their family, one of them, what can be made of it, and how two differ."""

import hashlib
import json

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apex.common.access import owned_or_404
from apex.common.calls import curl
from datasets_app import selectors, services
from datasets_app.deriving.comparing import turns_of
from datasets_app.deriving.material import BadRecipe
from datasets_app.models import Dataset, DatasetVersion
from datasets_app.selectors import comparing
from datasets_app.version_forms import FORMS

FAULTS_SHOWN = 20
ROWS_COMPARED = 20  # a page

# make → what its page is called, and what it is for.
WAYS = {
    "filter": (gettext_lazy("Filter"), gettext_lazy("Keep or leave out rows by what they hold.")),
    "split": (gettext_lazy("Split again"), gettext_lazy("Choose anew what is kept aside as a test.")),
    "merge": (gettext_lazy("Merge"), gettext_lazy("Take in the rows of other sets.")),
    "deduplicate": (
        gettext_lazy("Remove duplicates"),
        gettext_lazy("What is there twice is learned twice: keep one of each."),
    ),
    "clean": (
        gettext_lazy("Keep the good rows"),
        gettext_lazy("Leave out rows in which something was found."),
    ),
    "mask": (
        gettext_lazy("Mask personal data"),
        gettext_lazy("Replace addresses, numbers and keys by their names."),
    ),
}


def version_or_404(request: HttpRequest, dataset_id, number: int) -> DatasetVersion:
    """The version of this number of the user's dataset."""
    dataset = owned_or_404(Dataset, request.user, pk=dataset_id)
    versions = DatasetVersion.objects.filter(dataset=dataset).select_related("dataset", "parent")
    return owned_or_404(versions, request.user, number=number)


def to_version(version: DatasetVersion) -> HttpResponse:
    return redirect("datasets:version-detail", dataset_id=version.dataset_id, number=version.number)


@login_required
@require_GET
def version_list(request: HttpRequest, dataset_id) -> HttpResponse:
    """What was made of what, as a tree; the page loads from training what learned from each."""
    dataset = owned_or_404(Dataset, request.user, pk=dataset_id)
    address = reverse("api-dataset-lineage", args=[dataset.pk])
    context = {"dataset": dataset, "members": selectors.family(dataset), "api_curl": curl(request, address)}
    return render(request, "datasets_app/version_list.html", context)


@login_required
@require_GET
def version_detail(request: HttpRequest, dataset_id, number: int) -> HttpResponse:
    """One version: what it holds, how it was made, and what can be made of it."""
    version = version_or_404(request, dataset_id, number)
    address = reverse("api-version-detail", args=[dataset_id, number])
    context = {
        "dataset": version.dataset,
        "version": version,
        "words": selectors.made_words(version),
        "merged": version.merged_from.select_related("dataset"),
        "others": selectors.versions_of(version.dataset).exclude(pk=version.pk)[:100],
        "newest": version.dataset.latest,
        "faults": selectors.first_faults(version, FAULTS_SHOWN),
        "ways": WAYS,
        "api_curl": curl(request, address),
    }
    return render(request, "datasets_app/version_detail.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def version_change(request: HttpRequest, dataset_id, number: int, make: str) -> HttpResponse:
    """A form; “show” says what would happen, “make” does it."""
    version = version_or_404(request, dataset_id, number)
    if make not in FORMS:
        raise Http404
    form = FORMS[make](request.POST or None, version=version)
    title, about = WAYS[make]
    preview_path = reverse("api-version-derive", args=[dataset_id, number])
    context = {
        "dataset": version.dataset,
        "version": version,
        "make": make,
        "title": title,
        "about": about,
        "form": form,
        "api_curl": curl(request, preview_path, send={"make": make}),
    }
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                recipe = {"make": make, "settings": form.settings()}
                context["shown"] = mark_of(recipe)
                if "make" in request.POST and request.POST.get("shown", context["shown"]) == context["shown"]:
                    return arrive(request, services.start_derivation(version=version, recipe=recipe))
                context["has_changed"] = "make" in request.POST
                context["preview"] = services.preview_derivation(version=version, recipe=recipe)
                context["groups"] = duplicates_shown(version, context["preview"].told)
                status = 200
            except (BadRecipe, services.CannotDerive) as problem:
                context["refused"] = str(problem)
    return render(request, "datasets_app/version_change.html", context, status=status)


def mark_of(recipe: dict) -> str:
    """Tells whether what is to be made is what was shown."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]


def arrive(request: HttpRequest, new) -> HttpResponse:
    """To the new version, or to the page of the import that a worker makes it in."""
    if isinstance(new, DatasetVersion):
        words = _("Version %(number)s is made: %(count)s rows.")
        messages.success(request, words % {"number": new.number, "count": f"{new.row_count:,}"})
        return to_version(new)
    messages.info(
        request, _("There are many rows, so this goes on by itself; the bell tells when it is done.")
    )
    return redirect("datasets:import-detail", import_id=new.pk)


def duplicates_shown(version: DatasetVersion, told: dict) -> list[list[dict]]:
    """The groups of duplicates with their rows: `{"number", "row", "is_kept"}`, numbers from 1."""
    groups = told.get("examples") or []
    numbers = sorted({number for group in groups for number in group["rows"]})
    rows = (
        dict(zip(numbers, comparing.fingerprints_of(version).rows_at(numbers), strict=True))
        if numbers
        else {}
    )
    return [
        [
            {
                "number": n + 1,
                "row": rows[n],
                "turns": turns_of(rows[n]),
                "is_kept": n == group["kept"],
            }
            for n in group["rows"]
        ]
        for group in groups
    ]


@login_required
@require_POST
def version_restore(request: HttpRequest, dataset_id, number: int) -> HttpResponse:
    """The rows of an earlier version once more, as the newest."""
    version = version_or_404(request, dataset_id, number)
    newest = version.dataset.latest
    recipe = {"make": "restore", "settings": {"version": str(version.pk)}}
    try:
        return arrive(request, services.start_derivation(version=newest, recipe=recipe))
    except (BadRecipe, services.CannotDerive) as problem:
        messages.error(request, str(problem))
        return to_version(version)


@login_required
@require_GET
def version_compare(request: HttpRequest, dataset_id) -> HttpResponse:
    """Two versions side by side: `first` and `second` are numbers, `with` another dataset of the second."""
    dataset = owned_or_404(Dataset, request.user, pk=dataset_id)
    context = {"dataset": dataset, "kind": kind_asked(request)} | choices_of(request, dataset)
    first, second = context["first"], context["second"]
    if first is not None and second is not None:
        try:
            context |= comparison_of(request, first, second, context["kind"])
        except comparing.NotComparable as problem:
            context["refused"] = str(problem)
    return render(request, "datasets_app/version_compare.html", context)


def kind_asked(request: HttpRequest) -> str:
    kind = request.GET.get("kind", "")
    return kind if kind in comparing.KINDS else ""


def choices_of(request: HttpRequest, dataset: Dataset) -> dict:
    """The versions to choose from, and the two that the address names (else the newest and the one before)."""
    datasets = Dataset.objects.for_user(request.user).order_by("name")
    other = dataset
    if wanted := request.GET.get("with"):
        other = owned_or_404(Dataset, request.user, pk=wanted)
    ones, twos = list(selectors.versions_of(dataset)[:200]), list(selectors.versions_of(other)[:200])
    second = numbered(twos, request.GET.get("second"), twos[0] if twos else None)
    usual = (
        second.parent if second and second.parent in ones else next((v for v in ones if v != second), None)
    )
    first = numbered(ones, request.GET.get("first"), usual)
    return {
        "datasets": datasets[:200],
        "other": other,
        "ones": ones,
        "twos": twos,
        "first": first,
        "second": second,
    }


def numbered(versions: list[DatasetVersion], text: str | None, default: DatasetVersion | None):
    return next((each for each in versions if str(each.number) == text), default)


def comparison_of(request: HttpRequest, first: DatasetVersion, second: DatasetVersion, kind: str) -> dict:
    """What the page shows of a comparison; without a kind the first that has something to show."""
    found = comparing.compared(first, second)
    counts = found.counts
    kind = kind or next((each for each in comparing.KINDS if counts[each]), comparing.KINDS[0])
    page = Paginator(range(counts[kind]), ROWS_COMPARED).get_page(request.GET.get("page"))
    start = page.start_index() - 1 if counts[kind] else 0
    address = reverse("api-version-compare", args=[first.dataset_id, first.number])
    asked = f"?other={second.dataset_id}&number={second.number}&kind={kind}"
    return {
        "found": found,
        "counts": counts,
        "kind": kind,
        "page": page,
        "entries": found.rows(kind, start, start + len(page.object_list)),
        "query": f"&first={first.number}&second={second.number}&with={second.dataset_id}&kind={kind}",
        "api_curl": curl(request, address + asked),
    }


@login_required
@require_http_methods(["GET", "POST"])
def version_delete(request: HttpRequest, dataset_id, number: int) -> HttpResponse:
    """Says what erasing one version touches; does it when its name is typed."""
    version = version_or_404(request, dataset_id, number)
    return erase(request, version.dataset, version)


@login_required
@require_http_methods(["GET", "POST"])
def dataset_delete(request: HttpRequest, dataset_id) -> HttpResponse:
    """Says what erasing the whole set touches; does it when its name is typed."""
    return erase(request, owned_or_404(Dataset, request.user, pk=dataset_id), None)


def erase(request: HttpRequest, dataset: Dataset, version: DatasetVersion | None) -> HttpResponse:
    name = str(version or dataset)
    context = {
        "dataset": dataset,
        "version": version,
        "name": name,
        "erasure": selectors.erasure_of(dataset, version),
        "typed": request.POST.get("name", ""),
    }
    address = reverse("api-dataset-detail", args=[dataset.pk])
    if version:
        address = reverse("api-version-detail", args=[dataset.pk, version.number])
    context["api_curl"] = curl(request, address, options="-X DELETE")
    status = 200
    if request.method == "POST":
        if context["typed"].strip() == name:
            try:
                if version:
                    services.delete_version(version=version)
                else:
                    services.delete_dataset(dataset=dataset)
                messages.success(request, _("“%(name)s” is erased.") % {"name": name})
                if version and dataset.versions.present().exists():
                    return redirect("datasets:version-list", dataset_id=dataset.pk)
                return redirect("datasets:dataset-list")
            except services.DatasetInUse as problem:
                context["refused"], status = str(problem), 409
        else:
            message = _("Type the name as it is written above: %(name)s. What came was “%(typed)s”.")
            context["refused"] = message % {"name": name, "typed": context["typed"][:150]}
            status = 422
    return render(request, "datasets_app/version_delete.html", context, status=status)
