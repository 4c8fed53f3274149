"""The back office of serving."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from apex.common.admin import ReadOnlyInline
from apex.common.forms import tell
from serving.deploying import unload_deployment
from serving.models import Deployment, DeploymentEvent, Node, Placement
from serving.node_services import NodeRefused, check
from serving.nudges import nudge_on_commit


class PlacementInline(ReadOnlyInline):
    model = Placement
    fields = ["node", "state", "reason", "message", "loaded_at", "load_seconds"]
    readonly_fields = fields


class DeploymentEventInline(ReadOnlyInline):
    model = DeploymentEvent
    fields = ["created_at", "by", "kind", "message"]
    readonly_fields = fields


@admin.register(Node)
class NodeAdmin(ModelAdmin):
    """Keys are entered on the page of servers, where they are sealed; here they are never seen."""

    list_display = [
        "name",
        "backend",
        "base_model",
        "address",
        "health",
        "is_enabled",
        "most_adapters",
        "last_seen_at",
    ]
    list_filter = ["backend", "health", "is_enabled"]
    list_select_related = ["base_model"]
    search_fields = ["name", "address"]
    readonly_fields = [
        "backend", "address", "base_model", "served_name", "health", "problem", "last_seen_at", "probe", "figures",
        "loads_since_start", "created_at",
    ]  # fmt: skip

    def has_add_permission(self, request):
        return False

    def has_delete_permission(self, request, obj=None):
        return super().has_delete_permission(request, obj) and (obj is None or not obj.loads_on_demand)

    def get_form(self, request, obj=None, **kwargs):
        form = super().get_form(request, obj, **kwargs)

        class Checked(form):
            def clean(self):
                cleaned = super().clean()
                node = Node(
                    **{field.attname: getattr(obj, field.attname) for field in Node._meta.concrete_fields}
                )
                for name, value in cleaned.items():
                    setattr(node, name, value)
                try:
                    check(node)
                except NodeRefused as problem:
                    tell(self, problem)
                return cleaned

        return Checked if obj else form

    def save_model(self, request, obj, form, change):
        super().save_model(request, obj, form, change)
        nudge_on_commit()


@admin.register(Deployment)
class DeploymentAdmin(ModelAdmin):
    list_display = ["__str__", "owner", "status", "reason", "serving_name", "active_at", "ended_at"]
    list_filter = ["status", "reason"]
    list_select_related = ["adapter", "owner"]
    search_fields = ["serving_name", "model_name", "adapter__name", "owner__username"]
    date_hierarchy = "created_at"
    actions = ["take_down"]
    inlines = [PlacementInline, DeploymentEventInline]

    def has_add_permission(self, request):
        return False

    def has_delete_permission(self, request, obj=None):
        return False

    def get_readonly_fields(self, request, obj=None):
        return [field.name for field in self.model._meta.fields]

    @admin.action(description=_("Take the chosen deployments down"), permissions=["change"])
    def take_down(self, request, deployments):
        words = str(_("Taken down by the house."))
        down = sum(unload_deployment(deployment=each, by=request.user, why=words) for each in deployments)
        self.message_user(request, _("%(count)s taken down.") % {"count": down})
