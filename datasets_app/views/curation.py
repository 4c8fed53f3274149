"""The review pages: the queue of one set, the queue of what chats and batches offered, and what comes of them."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from apex.common.access import owned_or_404
from apex.common.calls import curl
from datasets_app import downloads, selectors, services
from datasets_app.models import Dataset, DatasetVersion, ReviewVerdict
from datasets_app.selectors.curation import ORDERS, SHOWS, SPLITS


def version_in(query, dataset: Dataset) -> DatasetVersion | None:
    """The version that the address names, else the newest; None for a set that holds nothing."""
    versions = list(selectors.versions_of(dataset).filter(erased_at=None))
    wanted = selectors.number_in(query.get("version", ""))
    return next((each for each in versions if each.number == wanted), versions[0] if versions else None)


def filter_context(request: HttpRequest, wanted: selectors.QueueFilter) -> dict:
    """What templates/datasets_app/_review_filter.html shows."""
    given = {name for name in request.GET if name != "version" and request.GET[name]}
    return {
        "wanted": wanted,
        "shows": SHOWS,
        "orders": ORDERS,
        "splits": SPLITS,
        "ratings": "54321",
        "is_filtered": bool(given - {"order", "seed"}),
        "query": request.GET.urlencode(),
    }


@login_required
@require_GET
def review_queue(request: HttpRequest, dataset_id) -> HttpResponse:
    dataset = owned_or_404(Dataset, request.user, pk=dataset_id)
    version = version_in(request.GET, dataset)
    wanted = selectors.QueueFilter.from_query(request.GET.dict())
    rows_url = reverse("api-review-queue", args=[dataset.pk])
    mine = selectors.reviews_by(request.user, dataset)
    context = filter_context(request, wanted) | {
        "dataset": dataset,
        "version": version,
        "rows_url": rows_url,
        "save_url": reverse("api-review-list", args=[dataset.pk]),
        "tags": selectors.tags_of(mine),
        "codes": selectors.fault_codes(version) if version else [],
        "api_curl": curl(request, f"{rows_url}?show=unseen"),
    }
    return render(request, "datasets_app/review_queue.html", context)


@login_required
@require_GET
def review_offered(request: HttpRequest) -> HttpResponse:
    """Rows that chats and batches offered, in the same queue."""
    wanted = selectors.QueueFilter.from_query(request.GET.dict())
    rows_url = reverse("api-offered-rows")
    context = filter_context(request, wanted) | {
        "rows_url": rows_url,
        "save_url": rows_url,
        "tags": selectors.tags_of(selectors.reviews_by(request.user, None)),
        "total": selectors.inbox(request.user, selectors.QueueFilter(), count=0)["progress"]["total"],
        "api_curl": curl(request, rows_url),
    }
    return render(request, "datasets_app/review_offered.html", context)


@login_required
@require_POST
def review_version(request: HttpRequest, dataset_id) -> HttpResponse:
    """The next version from what the owner thinks of the rows."""
    dataset = owned_or_404(Dataset, request.user, pk=dataset_id)
    version = version_in(request.POST, dataset)
    if version is None:
        messages.error(request, _("The set holds nothing yet. Bring a file first."))
        return redirect("datasets:dataset-detail", dataset_id=dataset.pk)
    try:
        made = services.version_from_review(
            version=version, reviewer=request.user, only_starred=request.POST.get("keep") == "starred"
        )
    except services.DatasetRefused as problem:
        messages.error(request, str(problem))
        return redirect("datasets:review-queue", dataset_id=dataset.pk)
    messages.success(
        request,
        _("Version %(number)s is made: %(rows)s examples.") % {"number": made.number, "rows": made.row_count},
    )
    return redirect("datasets:dataset-detail", dataset_id=dataset.pk)


@login_required
@require_GET
def review_table(request: HttpRequest, dataset_id) -> HttpResponse:
    """All that anybody thinks of the set's rows, as CSV."""
    dataset = owned_or_404(Dataset, request.user, pk=dataset_id)
    wanted = selectors.StarFilter(dataset=str(dataset.pk))
    return downloads.reviews_response(selectors.gold_stars(request.user, wanted, tuple(ReviewVerdict.values)))
