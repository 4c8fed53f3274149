"""The page of servers of models, for superusers."""

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from apex.common.forms import secret_input, tell
from base_models.models import BaseModel
from serving import node_services, work_details
from serving.models import Hardware, Node


class NodeForm(forms.Form):
    name = forms.CharField(
        label=gettext_lazy("Name"), max_length=60, help_text=gettext_lazy("Such as gpu-1.")
    )
    backend = forms.ChoiceField(
        label=gettext_lazy("Kind"), initial="vllm", required=False,
        choices=[
            ("vllm", gettext_lazy("vLLM: answers, and takes adapters")),
            ("ollama", gettext_lazy("Ollama: answers, takes no adapters")),
            ("openai_compatible", gettext_lazy("Any other with OpenAI's surface: answers, takes no adapters")),
        ],
    )  # fmt: skip
    address = forms.CharField(
        label=gettext_lazy("Address"), max_length=300,
        help_text=gettext_lazy("Where it runs, such as http://10.0.0.5:8000. Only Apex should reach it."),
    )  # fmt: skip
    base_model = forms.ModelChoiceField(
        label=gettext_lazy("Base model that it serves"),
        queryset=BaseModel.objects.all(),
        to_field_name="name",
    )
    served_name = forms.CharField(
        label=gettext_lazy("What it calls the base model"), max_length=200, required=False,
        help_text=gettext_lazy("As it lists it itself (vLLM: --served-model-name); empty: its name here."),
    )  # fmt: skip
    hardware = forms.ChoiceField(label=gettext_lazy("It runs on"), choices=Hardware.choices)
    adapter_slots = forms.IntegerField(
        label=gettext_lazy("Adapter slots"), min_value=1, max_value=1000, initial=8,
        help_text=gettext_lazy("Its --max-loras. On a processor one of them stays free."),
    )  # fmt: skip
    most_rank = forms.TypedChoiceField(
        label=gettext_lazy("Largest rank"), coerce=int, initial=64,
        choices=[(rank, rank) for rank in node_services.RANKS],
        help_text=gettext_lazy("Its --max-lora-rank."),
    )  # fmt: skip
    api_key = forms.CharField(
        label=gettext_lazy("Key"), max_length=4000, required=False,
        widget=secret_input(),
        help_text=gettext_lazy("Its --api-key, if it has one. Kept sealed, and never shown again."),
    )  # fmt: skip

    def clean_backend(self) -> str:
        return self.cleaned_data["backend"] or "vllm"


def superuser_required(view):
    """Everybody else finds nothing here."""

    @login_required
    def guarded(request, *args, **kwargs):
        if not request.user.is_superuser:
            raise Http404
        return view(request, *args, **kwargs)

    return guarded


@superuser_required
@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def node_list(request):
    """Every server with what it holds; a new one is added below them."""
    if request.htmx:
        return render(request, "serving/node_list.html#rows", {"servers": work_details.servers()})
    form = NodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            node = node_services.add_node(**form.cleaned_data)
        except node_services.NodeRefused as problem:
            tell(form, problem)
        else:
            messages.success(request, _("%(name)s is asked what it has.") % {"name": node.name})
            return redirect("serving:node-list")
    context = {"servers": work_details.servers(), "form": form}
    return render(request, "serving/node_list.html", context, status=422 if form.errors else 200)


@superuser_required
@require_POST
def node_use(request, node_id):
    """Takes a server out of use, or into use again."""
    node = get_object_or_404(Node, pk=node_id)
    try:
        node_services.change_node(node=node, is_enabled=not node.is_enabled)
    except node_services.NodeRefused as problem:
        messages.error(request, str(problem))
    return redirect("serving:node-list")


@superuser_required
@require_POST
def node_remove(request, node_id):
    node = get_object_or_404(Node, pk=node_id)
    try:
        node_services.remove_node(node=node)
    except node_services.NodeRefused as problem:
        messages.error(request, str(problem))
    else:
        messages.success(request, _("%(name)s is forgotten here; it goes on running.") % {"name": node.name})
    return redirect("serving:node-list")
