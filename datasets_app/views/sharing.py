"""Links by which others rate: the owner's page, and what a guest sees. A guest sees rows to rate, and nothing else."""

import json

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apex.common.access import owned_or_404
from apex.common.calls import curl
from datasets_app import downloads, selectors, services
from datasets_app.models import Dataset, ShareLink
from datasets_app.services.sharing import GUESSES_LIMIT, RATINGS_LIMIT, is_within
from datasets_app.views.curation import version_in

DAYS = (1, 7, 14, 30, 90)


# --- The owner ------------------------------------------------------------------------------------------------


@login_required
@require_http_methods(["GET", "POST"])
def share_list(request: HttpRequest, dataset_id) -> HttpResponse:
    """The links of a set, a new one shown once, and how far those who rate agree."""
    dataset = owned_or_404(Dataset, request.user, pk=dataset_id)
    version = version_in(request.POST or request.GET, dataset)
    made_url, problem = "", ""
    if request.method == "POST" and version is not None:
        try:
            _link, token = services.make_share_link(
                version=version,
                label=request.POST.get("label", ""),
                days=selectors.number_in(request.POST.get("days", "14")),
            )
            made_url = request.build_absolute_uri(reverse("datasets:shared", args=[token]))
        except services.BadLink as refused:
            problem = str(refused)
    address = reverse("api-share-link-list", args=[dataset.pk])
    context = {
        "dataset": dataset,
        "version": version,
        "links": selectors.share_links_of(dataset),
        "made_url": made_url,
        "problem": problem,
        "days": DAYS,
        "api_curl": curl(request, address, send={"label": "Colleagues", "days": 14}),
    }
    context |= selectors.agreement(dataset)
    return render(request, "datasets_app/share_list.html", context, status=422 if problem else 200)


@login_required
@require_POST
def share_revoke(request: HttpRequest, dataset_id, link_id) -> HttpResponse:
    links = ShareLink.objects.filter(version__dataset=owned_or_404(Dataset, request.user, pk=dataset_id))
    services.revoke_share_link(link=owned_or_404(links, request.user, pk=link_id))
    messages.success(request, _("The link is closed. What was rated by it stays."))
    return redirect("datasets:share-list", dataset_id=dataset_id)


@login_required
@require_http_methods(["GET", "POST"])
def label_studio(request: HttpRequest, dataset_id) -> HttpResponse:
    """Tasks and labeling config to take along; annotations to bring back."""
    dataset = owned_or_404(Dataset, request.user, pk=dataset_id)
    version = version_in(request.GET, dataset)
    here = redirect("datasets:share-list", dataset_id=dataset.pk)
    if version is None:
        messages.error(request, _("The set holds nothing yet. Bring a file first."))
        return here
    try:
        if request.method == "GET":
            if request.GET.get("part") == "config":
                return downloads.config_response()
            return downloads.tasks_response(version, request.GET.get("as") == "predictions")
        file = request.FILES.get("file")
        if file is None:
            raise services.BadTasks(_("No file came. Choose the file that Label Studio exported."))
        tasks = file.read(services.LABEL_STUDIO_LIMIT + 1)
        messages.success(request, in_words(services.import_label_studio(version=version, tasks=tasks)))
    except (services.BadTasks, services.BadReview) as problem:
        messages.error(request, str(problem))
    return here


def in_words(taken) -> str:
    """What an import of annotations did, in one sentence each."""
    told = [_("%(count)s reviews were taken.") % {"count": taken.reviews}]
    if taken.unchanged:
        told.append(_("%(count)s came back as we had sent them.") % {"count": taken.unchanged})
    if taken.unmatched:
        told.append(_("%(count)s are about no row of this version.") % {"count": taken.unmatched})
    if taken.silent:
        told.append(_("%(count)s say nothing that is known here.") % {"count": taken.silent})
    if taken.unknown:
        names = ", ".join(f"{name} ({count})" for name, count in taken.unknown.most_common(5))
        told.append(_("Not taken: %(names)s.") % {"names": names})
    return " ".join(told)


# --- A guest --------------------------------------------------------------------------------------------------


def private(response: HttpResponse) -> HttpResponse:
    """The address is a secret: no search engine, no other site and no cache is to learn it."""
    response["X-Robots-Tag"] = "noindex, nofollow"
    # Not "no-referrer": with that, forms come without their origin, and the CSRF check turns them away.
    response["Referrer-Policy"] = "same-origin"
    response["Cache-Control"] = "no-store, private"
    return response


def link_or_404(token: str) -> ShareLink:
    """The open link of this token. One that is unknown, ended or taken back looks the same: 404."""
    link = services.link_of(token)
    if link is None:
        raise Http404("No such link.")
    return link


def too_many(request: HttpRequest, limit: tuple[int, int], *who: str) -> bool:
    return not is_within(limit, request.META.get("REMOTE_ADDR", ""), *who)


def guest_of(request: HttpRequest, link: ShareLink) -> services.Guest | None:
    """Who came by this link in this browser, as they said."""
    told = request.get_signed_cookie(cookie_of(link), default=None, salt=str(link.pk))
    name, _separator, mark = (told or "").rpartition("#")
    return services.Guest(name, mark) if name and len(mark) == 8 else None


def cookie_of(link: ShareLink) -> str:
    return f"apex_guest_{link.pk.hex}"


@require_GET
def shared(request: HttpRequest, token: str) -> HttpResponse:
    """The page behind a link: a name is asked for once, then rows are rated."""
    link = services.link_of(token)
    if link is None:
        if too_many(request, GUESSES_LIMIT, "guess"):
            return private(render(request, "429.html", status=429))
        return private(render(request, "datasets_app/share_gone.html", status=404))
    context = {"link": link, "token": token, "guest": guest_of(request, link)}
    return private(render(request, "datasets_app/share_guest.html", context))


@require_POST
def shared_name(request: HttpRequest, token: str) -> HttpResponse:
    """Keeps the guest's name in a signed cookie of this link."""
    link = link_or_404(token)
    try:
        guest = services.new_guest(name=request.POST.get("name", ""))
    except services.BadLink as problem:
        context = {"link": link, "token": token, "problem": str(problem)}
        return private(render(request, "datasets_app/share_guest.html", context, status=422))
    response = private(redirect("datasets:shared", token=token))
    response.set_signed_cookie(
        cookie_of(link),
        f"{guest.name}#{guest.mark}",
        salt=str(link.pk),
        expires=link.expires_at,
        path=reverse("datasets:shared", args=[token]),
        secure=request.is_secure(),
        httponly=True,
        samesite="Lax",
    )
    return response


@require_GET
def shared_rows(request: HttpRequest, token: str) -> HttpResponse:
    """The next rows for this guest: their content, and what this guest thinks of them."""
    link = link_or_404(token)
    guest = guest_of(request, link)
    if guest is None:
        return private(JsonResponse(error_of(_("Tell your name first.")), status=403))
    after = selectors.number_in(request.GET.get("after", ""))
    return private(JsonResponse(selectors.guest_queue(link, guest.reviewer_name, after)))


@require_http_methods(["PUT"])
def shared_rate(request: HttpRequest, token: str) -> HttpResponse:
    """Keeps a guest's rating, tags and note of one row; nothing else can be sent."""
    link = link_or_404(token)
    guest = guest_of(request, link)
    if guest is None:
        return private(JsonResponse(error_of(_("Tell your name first.")), status=403))
    if too_many(request, RATINGS_LIMIT, str(link.pk), guest.mark):
        return private(JsonResponse(error_of(_("Too fast. Wait a minute, then go on.")), status=429))
    try:
        said = read_said(request)
        number, key = said["row"], said["row_key"]
        kept = {name: said[name] for name in ("rating", "tags", "note", "is_seen") if name in said}
        services.rate_by_link(link=link, guest=guest, number=number, key=key, **kept)
    except services.BadReview as problem:
        return private(JsonResponse(error_of(str(problem)), status=400))
    return private(HttpResponse(status=204))


def read_said(request: HttpRequest) -> dict:
    """What a guest sent, at least `row` and `row_key`. Raises BadReview."""
    try:
        said = json.loads(request.body)
        json.dumps(said, ensure_ascii=False).encode()  # half a surrogate pair cannot be stored
    except (ValueError, RecursionError) as problem:
        raise services.BadReview(
            _("What came is no JSON: %(problem)s.") % {"problem": problem}, "row"
        ) from problem
    number, key = (said.get("row"), said.get("row_key")) if isinstance(said, dict) else (None, None)
    if not isinstance(number, int) or isinstance(number, bool) or not isinstance(key, str) or not key:
        raise services.NoSuchRow(_("Say which row it is about: “row” and “row_key”."), "row")
    return said


def error_of(message: str) -> dict:
    return {"error": {"message": message}}
