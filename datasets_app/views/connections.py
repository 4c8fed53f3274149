"""Connections: the stored credentials by which references are read. Keys go in and are never shown again."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apex.common.access import owned_or_404
from apex.common.calls import curl
from apex.common.forms import tell
from datasets_app import services
from datasets_app.connection_forms import ConnectionForm
from datasets_app.models import Connection, ConnectionKind
from datasets_app.sources import SourceError

EXAMPLE = {"name": "Our hub", "kind": "hf", "credentials": {"token": "hf_…"}}


@login_required
@require_GET
def connection_list(request: HttpRequest) -> HttpResponse:
    connections = list(Connection.objects.for_user(request.user).order_by("name"))
    for connection in connections:
        connection.sets = services.sets_through(connection)
    context = {
        "connections": connections,
        "kinds": ConnectionKind.choices,
        "api_curl": curl(request, reverse("api-connection-list"), send=EXAMPLE),
    }
    return render(request, "datasets_app/connection_list.html", context)


@login_required
@sensitive_post_parameters()
@sensitive_variables()
@require_http_methods(["GET", "POST"])
def connection_add(request: HttpRequest) -> HttpResponse:
    kind = request.POST.get("kind") or request.GET.get("kind") or ConnectionKind.S3
    kind = kind if kind in ConnectionKind.values else ConnectionKind.S3
    form = ConnectionForm(request.POST or None, kind=kind)
    if request.method == "POST" and form.is_valid():
        try:
            connection = services.create_connection(owner=request.user, kind=kind, **form.asked())
        except services.BadConnection as problem:
            tell(form, problem)
        else:
            messages.success(request, _("“%(name)s” is kept. Try it below.") % {"name": connection.name})
            return redirect("datasets:connection-detail", connection_id=connection.pk)
    status = 422 if request.method == "POST" else 200
    context = {"form": form, "kind": kind, "kinds": ConnectionKind.choices}
    return render(request, "datasets_app/connection_add.html", context, status=status)


@login_required
@sensitive_post_parameters()
@sensitive_variables()
@require_http_methods(["GET", "POST"])
def connection_detail(request: HttpRequest, connection_id) -> HttpResponse:
    connection = owned_or_404(Connection, request.user, pk=connection_id)
    form = ConnectionForm(request.POST or None, kind=connection.kind, connection=connection)
    if request.method == "POST" and form.is_valid():
        try:
            # Of its own row: a refusal leaves the one that the page shows as it was.
            changed = owned_or_404(Connection, request.user, pk=connection_id)
            services.change_connection(connection=changed, **form.asked())
        except services.BadConnection as problem:
            tell(form, problem)
        else:
            messages.success(request, _("Saved."))
            return redirect("datasets:connection-detail", connection_id=connection.pk)
    status = 422 if request.method == "POST" else 200
    return render(
        request, "datasets_app/connection_detail.html", context_of(request, connection, form), status=status
    )


def context_of(request: HttpRequest, connection: Connection, form: ConnectionForm) -> dict:
    return {
        "connection": connection,
        "form": form,
        "sets": services.sets_through(connection),
        "api_curl": curl(request, reverse("api-connection-try", args=[connection.pk]), send={}),
    }


@login_required
@require_POST
def connection_try(request: HttpRequest, connection_id) -> HttpResponse:
    """Says on the same page what happened."""
    connection = owned_or_404(Connection, request.user, pk=connection_id)
    uri = request.POST.get("uri", "").strip()
    context = context_of(request, connection, ConnectionForm(kind=connection.kind, connection=connection))
    context["uri"] = uri
    try:
        context["works"] = services.try_connection(connection=connection, uri=uri)
    except SourceError as problem:
        context["fails"] = str(problem)
    return render(request, "datasets_app/connection_detail.html", context)


@login_required
@require_POST
def connection_delete(request: HttpRequest, connection_id) -> HttpResponse:
    connection = owned_or_404(Connection, request.user, pk=connection_id)
    name = connection.name
    services.delete_connection(connection=connection)
    messages.success(request, _("“%(name)s” and its credentials are gone.") % {"name": name})
    return redirect("datasets:connection-list")
