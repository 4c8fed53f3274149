"""The gold stars over all of one's sets: looked through, taken back, taken along."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from apex.common.access import owned_or_404
from apex.common.calls import curl
from datasets_app import downloads, selectors, services
from datasets_app.models import Dataset, Review, ReviewSource, ReviewVerdict

PAGE_SIZE = 20
SHAPE_WORDS = {
    "openai": (gettext_lazy("Chat messages"), "openai"),
    "chatml": (gettext_lazy("One text with marks"), "chatml"),
    "alpaca": (gettext_lazy("Instruction and output"), "alpaca"),
    "prompt-completion": (gettext_lazy("Question and answer"), "prompt, completion"),
    "preference": (gettext_lazy("Better and worse answer"), "preference"),
}


def filter_in(query) -> tuple[selectors.StarFilter, str]:
    """The filter of the address, and what is wrong with it (then it counts as none)."""
    try:
        return selectors.StarFilter.from_query(query.dict()), ""
    except ValueError as problem:
        return selectors.StarFilter(), str(problem)


@login_required
@require_GET
def gold_star_list(request: HttpRequest) -> HttpResponse:
    wanted, problem = filter_in(request.GET)
    stars = selectors.gold_stars(request.user, wanted)
    page = Paginator(stars, PAGE_SIZE).get_page(request.GET.get("page"))
    page.object_list = [
        {"review": review, "who": selectors.name_of(review), "turns": selectors.turns_of(review)}
        for review in page.object_list
    ]
    kept = request.GET.copy()
    kept.pop("page", None)
    context = {
        "page": page,
        "wanted": wanted,
        "problem": problem,
        "is_filtered": bool(wanted.given()),
        "has_any": page.paginator.count > 0
        or selectors.gold_stars(request.user, selectors.StarFilter()).exists(),
        "datasets": Dataset.objects.for_user(request.user)
        .filter(reviews__verdict=ReviewVerdict.STAR)
        .distinct()
        .order_by("name"),
        "raters": selectors.raters_of_stars(request.user),
        "tags": selectors.tags_of(stars),
        "sources": ReviewSource.choices,
        "ratings": "54321",
        "shapes": SHAPE_WORDS,
        "query": f"&{kept.urlencode()}" if kept else "",
        "api_curl": curl(request, reverse("api-gold-star-export") + "?as=openai", options="-OJ"),
    }
    return render(request, "datasets_app/gold_stars.html", context)


@login_required
@require_GET
def gold_star_export(request: HttpRequest) -> HttpResponse:
    """The file; where there is none, the page again with the reason."""
    wanted, problem = filter_in(request.GET)
    try:
        if problem:
            raise ValueError(problem)
        shape = request.GET.get("as", "openai")
        return downloads.exported_response(
            services.export_gold_stars(owner=request.user, shape=shape, wanted=wanted)
        )
    except ValueError as refused:
        messages.error(request, str(refused))
        return redirect("datasets:gold-star-list")


@login_required
@require_POST
def gold_star_dataset(request: HttpRequest) -> HttpResponse:
    """A set of its own from the gold stars that the filter asks for."""
    wanted, problem = filter_in(request.POST)
    try:
        if problem:
            raise ValueError(problem)
        version = services.dataset_from_gold_stars(
            owner=request.user,
            name=request.POST.get("name", "").replace("\x00", ""),
            shape=request.POST.get("as", "openai"),
            wanted=wanted,
        )
    except (ValueError, services.DatasetRefused) as refused:
        messages.error(request, str(refused))
        return redirect("datasets:gold-star-list")
    messages.success(request, _("The gold stars are a set of their own now."))
    return redirect("datasets:dataset-detail", dataset_id=version.dataset_id)


@login_required
@require_POST
def gold_star_remove(request: HttpRequest, review_id) -> HttpResponse:
    stars = Review.objects.filter(verdict=ReviewVerdict.STAR)
    services.remove_star(review=owned_or_404(stars, request.user, pk=review_id))
    messages.success(request, _("The star is taken away. Rating, tags and note stay."))
    return redirect("datasets:gold-star-list")
