"""The pages of knowledge: the list, one base with its documents and a search, one document with a piece marked."""

import uuid

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apex.common.access import owned_or_404
from apex.common.calls import curl
from apex.common.downloads import stored_file_response
from apex.common.forms import tell
from knowledge import selectors, services
from knowledge.forms import BaseForm, IndexForm, RenameForm, RerankForm
from knowledge.models import Chunk, Document, KnowledgeBase
from knowledge.retrieval import RetrievalFailed, place_of, search

DOCUMENTS_SHOWN = 50


@login_required
@require_GET
def base_list(request: HttpRequest) -> HttpResponse:
    bases = list(selectors.bases_for_list(request.user))
    for base in bases:
        base.index = selectors.active_of(base)
    return render(
        request,
        "knowledge/base_list.html",
        {
            "bases": bases,
            "remnants": list(selectors.remnants_of(request.user)),
            "api_curl": curl(request, reverse("api-knowledge-base-list")),
        },
    )


@login_required
@require_http_methods(["GET", "POST"])
def base_add(request: HttpRequest) -> HttpResponse:
    form = BaseForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            base = services.create_base(owner=request.user, **form.cleaned_data)
        except services.KnowledgeRefused as problem:
            tell(form, problem)
        else:
            return redirect("knowledge:base-detail", base_id=base.pk)
    status = 422 if request.method == "POST" else 200
    return render(request, "knowledge/base_add.html", {"form": form}, status=status)


@login_required
@require_GET
def base_detail(request: HttpRequest, base_id) -> HttpResponse:
    """The whole page; or, for htmx, the part that changes, or what a search found."""
    base = open_base(request, base_id)
    if request.htmx and "q" in request.GET:
        return render(request, "knowledge/_found.html", found_for(request, base))
    context = documents_context(request, base)
    if request.htmx:
        return render(request, "knowledge/base_detail.html#documents", context)
    return render(
        request,
        "knowledge/base_detail.html",
        {**context, **found_for(request, base), **page_context(request, base)},
    )


def open_base(request: HttpRequest, base_id) -> KnowledgeBase:
    return owned_or_404(selectors.bases_for_list(request.user), request.user, pk=base_id)


def documents_context(request: HttpRequest, base: KnowledgeBase) -> dict:
    documents = selectors.documents_for_page(base)
    return {
        "base": base,
        "page": Paginator(documents, DOCUMENTS_SHOWN).get_page(request.GET.get("page")),
        "index": selectors.active_of(base),
        "next_index": selectors.next_of(base),
    }


def page_context(request: HttpRequest, base: KnowledgeBase) -> dict:
    address = reverse("api-knowledge-base-search", args=[base.pk])
    return {
        "rename_form": RenameForm(initial={"name": base.name, "description": base.description}),
        "limit_mb": services.limit_mb(),
        "api_curl": curl(request, address, send={"question": _("When does the gate open?")}),
    }


def found_for(request: HttpRequest, base: KnowledgeBase) -> dict:
    """What a search on the page found. The question stands in the address, so that it can be shared with oneself."""
    question = request.GET.get("q", "").strip()
    context: dict = {"base": base, "question": question, "passages": [], "problem": ""}
    if question:
        try:
            context["passages"] = search([base], question)
        except RetrievalFailed as problem:
            context["problem"] = str(problem)
    return context


@login_required
@require_POST
def base_rename(request: HttpRequest, base_id) -> HttpResponse:
    base = open_base(request, base_id)
    form = RenameForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Give it a name."))
        return redirect("knowledge:base-detail", base_id=base.pk)
    try:
        services.change_base(base=base, **form.cleaned_data)
    except services.KnowledgeRefused as problem:
        messages.error(request, str(problem))
    return redirect("knowledge:base-detail", base_id=base.pk)


@login_required
@require_POST
def base_delete(request: HttpRequest, base_id) -> HttpResponse:
    base = open_base(request, base_id)
    name = base.name
    services.delete_base(base=base)
    messages.success(request, _("“%(name)s” is gone, with its documents.") % {"name": name})
    return redirect("knowledge:base-list")


@login_required
@require_http_methods(["GET", "POST"])
def base_index(request: HttpRequest, base_id) -> HttpResponse:
    """Another way to search or to cut: a new index that takes the old one's place when it is whole."""
    base = open_base(request, base_id)
    index = selectors.active_of(base)
    form = IndexForm(request.POST or None, index=index)
    if request.method == "POST" and form.is_valid():
        try:
            services.reindex(base=base, **form.cleaned_data)
        except services.KnowledgeRefused as problem:
            tell(form, problem)
        else:
            messages.success(
                request, _("The new index is being made; until it is whole the old one answers.")
            )
            return redirect("knowledge:base-detail", base_id=base.pk)
    context = {
        "base": base, "index": index, "form": form, "rerank_form": rerank_form_of(base),
        "api_curl": curl(
            request, reverse("api-knowledge-base-reindex", args=[base.pk]), send={"chunk_size": 800}
        ),
    }  # fmt: skip
    return render(
        request, "knowledge/base_index.html", context, status=422 if request.method == "POST" else 200
    )


def rerank_form_of(base: KnowledgeBase) -> RerankForm:
    return RerankForm(initial={name: getattr(base, name) for name in RerankForm.base_fields})


@login_required
@require_POST
def base_rerank(request: HttpRequest, base_id) -> HttpResponse:
    """Another reranker, or none; it holds from the next search on."""
    base = open_base(request, base_id)
    form = RerankForm(request.POST)
    if form.is_valid():
        try:
            services.change_base(base=base, **form.cleaned_data)
        except services.KnowledgeRefused as problem:
            tell(form, problem)
    if form.is_valid():
        messages.success(request, _("It holds from the next question on; try a search."))
        return redirect("knowledge:base-detail", base_id=base.pk)
    index = selectors.active_of(base)
    context = {
        "base": base, "index": index, "form": IndexForm(index=index), "rerank_form": form,
        "api_curl": curl(
            request, reverse("api-knowledge-base-reindex", args=[base.pk]), send={"chunk_size": 800}
        ),
    }  # fmt: skip
    return render(request, "knowledge/base_index.html", context, status=422)


@login_required
@require_POST
def index_call_off(request: HttpRequest, base_id) -> HttpResponse:
    base = open_base(request, base_id)
    if services.call_off_index(base=base):
        messages.success(request, _("The new index is put away; the one in use stays."))
    return redirect("knowledge:base-detail", base_id=base.pk)


@login_required
@require_POST
def index_again(request: HttpRequest, base_id) -> HttpResponse:
    base = open_base(request, base_id)
    index = selectors.next_of(base)
    if index is None or not services.try_index_again(index=index):
        messages.info(request, _("There is nothing to try again."))
    return redirect("knowledge:base-detail", base_id=base.pk)


# --- documents ---------------------------------------------------------------------------------------------------
@login_required
@require_POST
def document_add(request: HttpRequest, base_id) -> HttpResponse:
    """Several files at once, or an address. What is refused is said for each; the others are taken."""
    base = open_base(request, base_id)
    uploads = request.FILES.getlist("file")
    taken = 0
    try:
        if url := request.POST.get("url", "").strip():
            services.add_url(base=base, url=url)
            taken += 1
    except services.KnowledgeRefused as problem:
        messages.error(request, str(problem))
    for upload in uploads:
        try:
            services.add_upload(base=base, upload=upload)
            taken += 1
        except services.KnowledgeRefused as problem:
            messages.error(request, f"{upload.name}: {problem}")
    if not uploads and not url:
        messages.error(request, _("Nothing came. Choose a file, or give an address."))
    if taken:
        said = ngettext("%(count)s document is on its way.", "%(count)s documents are on their way.", taken)
        messages.success(request, said % {"count": taken})
    return redirect("knowledge:base-detail", base_id=base.pk)


def open_document(request: HttpRequest, base_id, document_id) -> Document:
    documents = Document.objects.filter(knowledge_base=base_id).select_related("knowledge_base", "replaces")
    return owned_or_404(documents, request.user, pk=document_id)


@login_required
@require_GET
def document_detail(request: HttpRequest, base_id, document_id) -> HttpResponse:
    """A document as it was read; `?piece=` marks one piece in it."""
    document = open_document(request, base_id, document_id)
    chunk = None
    if key := as_uuid(request.GET.get("piece", "")):
        chunk = Chunk.objects.for_user(request.user).filter(document=document, pk=key).first()
    context = {
        "document": document,
        "base": document.knowledge_base,
        "chunk": chunk,
        "place": place_of(chunk) if chunk else "",
        "shown": selectors.around(document, chunk),
        "is_gone": bool(request.GET.get("piece")) and chunk is None,
        "api_curl": curl(request, reverse("api-document-detail", args=[base_id, document.pk])),
    }
    return render(request, "knowledge/document_detail.html", context)


def as_uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


@login_required
@require_GET
def document_file(request: HttpRequest, base_id, document_id) -> HttpResponse:
    """The file as it was brought, as a download: nothing of it is shown as a page of ours."""
    document = open_document(request, base_id, document_id)
    if not document.source_sha256:
        messages.info(request, _("Its file is not here yet."))
        return redirect("knowledge:document-detail", base_id=base_id, document_id=document.pk)
    name = "".join(c if c.isascii() and (c.isalnum() or c in "._- ") else "_" for c in document.name)
    return stored_file_response(document.source_sha256, name or "document", "application/octet-stream")


@login_required
@require_POST
def document_again(request: HttpRequest, base_id, document_id) -> HttpResponse:
    document = open_document(request, base_id, document_id)
    try:
        services.read_again(document=document)
    except services.KnowledgeRefused as problem:
        messages.info(request, str(problem))
    return redirect("knowledge:base-detail", base_id=base_id)


@login_required
@require_POST
def document_delete(request: HttpRequest, base_id, document_id) -> HttpResponse:
    document = open_document(request, base_id, document_id)
    name = document.name
    services.delete_document(document=document)
    messages.success(request, _("“%(name)s” is gone, with all its pieces.") % {"name": name})
    return redirect("knowledge:base-detail", base_id=base_id)
