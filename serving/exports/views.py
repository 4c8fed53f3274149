"""Pages of exports: what can be made of an adapter, and what was made."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_POST

from apex.common.access import owned_or_404
from apex.common.downloads import resumable_response
from serving import selectors
from serving.exports import details, services, words
from serving.exports.engine.converters import HOW_TO_GET
from serving.exports.models import Export, ExportKind
from serving.exports.words import KINDS, has_converters, serve_lines


@login_required
@require_GET
def export_list(request):
    told = details.exports_told(request.user)
    context = {"told": told, "is_moving": is_moving(told), "keep_days": details.keep_days()}
    if request.htmx:
        return render(request, "serving/_exports.html", context)
    return render(request, "serving/export_list.html", context)


@login_required
@require_GET
def adapter_exports(request, adapter_id):
    """What can be made of an adapter; for a page that is open already only what moves."""
    adapter = selectors.adapter_or_404(request.user, adapter_id)
    told = details.exports_told(request.user, adapter)
    context = {"adapter": adapter, "told": told, "is_moving": is_moving(told)}
    if request.htmx:
        return render(request, "serving/_exports.html", context)
    base = adapter.base_model
    context |= {
        "choices": details.choices(),
        "has_converters": has_converters(),
        "how_to_get": HOW_TO_GET,
        "keep_days": details.keep_days(),
        "commands": serve_lines(
            words.file_stem(adapter), base.location if base.source == "hub" else base.name
        ),
        "site": request.build_absolute_uri("/").rstrip("/"),
    }
    return render(request, "serving/adapter_exports.html", context)


@login_required
@require_POST
@sensitive_post_parameters("token")
def start(request, adapter_id):
    adapter = selectors.adapter_or_404(request.user, adapter_id)
    kind, options = request.POST.get("kind", ""), {}
    if gguf_type := request.POST.get("type"):
        options = {"type": gguf_type}
    if kind == ExportKind.HUB:
        options = {
            "repo": request.POST.get("repo", ""),
            "what": request.POST.get("what", "adapter"),
            "private": request.POST.get("visibility", "private") == "private",
        }
    try:
        services.start_export(
            adapter=adapter, kind=kind, options=options, token=request.POST.get("token", "")
        )
    except services.ExportRefused as problem:
        messages.error(request, str(problem))
    return redirect("serving:adapter-exports", adapter_id=adapter.pk)


@login_required
@require_POST
def cancel(request, export_id):
    export = export_or_404(request.user, export_id)
    if services.cancel_export(export=export):
        messages.success(request, _("Stopped. Nothing of it was kept."))
    return redirect("serving:adapter-exports", adapter_id=export.adapter_id)


@login_required
@require_POST
def delete(request, export_id):
    """From the list of all exports or from the page of its adapter, back to where it was pressed."""
    export = export_or_404(request.user, export_id)
    adapter_id = export.adapter_id
    services.delete_export(export=export)
    messages.success(request, _("Gone, with its file. It can be made again."))
    if request.POST.get("from") == "list":
        return redirect("serving:export-list")
    return redirect("serving:adapter-exports", adapter_id=adapter_id)


@login_required
@require_GET
def download(request, export_id):
    return export_response(request, export_or_404(request.user, export_id))


def is_moving(told: list[details.Told]) -> bool:
    """Whether the page has to look again soon."""
    return any(each.export.is_unfinished for each in told)


def export_or_404(user, export_id) -> Export:
    return owned_or_404(details.exports_for(user), user, pk=export_id)


def export_response(request, export: Export):
    """Its file; 404 where there is none, or none any more."""
    if not export.can_download:
        raise Http404("This export has no file.")
    return resumable_response(request, export.sha256, export.file_name, KINDS[export.kind].content_type)
