"""The back office of training."""

from django.contrib import admin, messages
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.admin import ModelAdmin, TabularInline

from apex.common.admin import ReadOnlyInline
from training import services
from training.models import (
    Adapter,
    Attempt,
    Chain,
    ChainStage,
    Checkpoint,
    Device,
    HardwareOffer,
    JobEvent,
    Node,
    Plan,
    Priority,
    TrainingJob,
)


class AttemptInline(ReadOnlyInline):
    model = Attempt
    fields = [
        "token",
        "worker",
        "pid",
        "started_at",
        "heartbeat_at",
        "resumed_step",
        "last_step",
        "ended_at",
        "outcome",
    ]
    readonly_fields = fields


class JobEventInline(ReadOnlyInline):
    model = JobEvent
    fields = ["created_at", "kind", "message"]
    readonly_fields = fields


class CheckpointInline(ReadOnlyInline):
    model = Checkpoint
    fields = ["step", "eval_loss", "size_bytes", "is_best", "is_damaged", "reason", "created_at"]
    readonly_fields = fields


@admin.register(TrainingJob)
class TrainingJobAdmin(ModelAdmin):
    list_display = [
        "name",
        "owner",
        "status",
        "base_model",
        "step",
        "total_steps",
        "queue",
        "created_at",
        "ended_at",
    ]
    list_filter = ["status", "queue", "base_model"]
    search_fields = ["name", "owner__username", "id"]
    date_hierarchy = "created_at"
    list_select_related = ["owner", "base_model"]
    actions = ["cancel", "put_first", "put_in_turn"]
    inlines = [AttemptInline, CheckpointInline, JobEventInline]

    def has_add_permission(self, request):
        return False

    def get_readonly_fields(self, request, obj=None):
        return [field.name for field in self.model._meta.fields]

    @admin.action(description=_("Stop the chosen jobs"), permissions=["change"])
    def cancel(self, request, jobs):
        stopped = sum(services.cancel_job(job=job) for job in jobs)
        told = ngettext("%(count)s job was stopped.", "%(count)s jobs were stopped.", stopped) % {
            "count": stopped
        }
        self.message_user(request, told, messages.SUCCESS if stopped else messages.INFO)

    @admin.action(description=_("Put the chosen jobs before the others"), permissions=["change"])
    def put_first(self, request, jobs):
        self.give_priority(request, jobs, Priority.HIGH)

    @admin.action(description=_("Let the chosen jobs wait in their turn"), permissions=["change"])
    def put_in_turn(self, request, jobs):
        self.give_priority(request, jobs, Priority.NORMAL)

    def give_priority(self, request, jobs, priority) -> None:
        for job in jobs.unfinished():
            try:
                services.change_priority(job=job, priority=priority, by=request.user)
            except services.StartRefused as problem:
                self.message_user(request, str(problem), messages.ERROR)
                return
        self.message_user(request, _("Their turns are changed; what has ended stays as it is."))


@admin.register(Attempt)
class AttemptAdmin(ModelAdmin):
    list_display = [
        "job",
        "token",
        "worker",
        "started_at",
        "heartbeat_at",
        "resumed_step",
        "last_step",
        "hardware",
        "ended_at",
        "outcome",
    ]
    list_filter = ["outcome", "worker"]
    search_fields = ["job__name", "worker"]
    list_select_related = ["job"]

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False


@admin.register(Adapter)
class AdapterAdmin(ModelAdmin):
    list_display = [
        "name",
        "owner",
        "model_id",
        "step",
        "base_model",
        "eval_loss_base",
        "eval_loss",
        "size_bytes",
        "data_erased_at",
        "created_at",
    ]
    list_filter = ["base_model", ("dataset_version__erased_at", admin.EmptyFieldListFilter)]
    search_fields = ["name", "model_id", "owner__username"]
    list_select_related = ["owner", "base_model", "dataset_version"]

    @admin.display(description=_("examples erased"), ordering="dataset_version__erased_at")
    def data_erased_at(self, adapter: Adapter):
        return adapter.dataset_version.erased_at

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False


@admin.register(Plan)
class PlanAdmin(ModelAdmin):
    list_display = ["name", "owner", "purpose", "dataset_version", "base_model", "changed_at"]
    search_fields = ["name", "owner__username"]
    list_select_related = ["owner", "dataset_version__dataset", "base_model"]


@admin.register(HardwareOffer)
class HardwareOfferAdmin(ModelAdmin):
    """The price table that estimates compare with: whoever rents machines keeps it up to date."""

    list_display = ["name", "memory", "spot_low", "spot_high", "on_demand", "priced_at", "source", "is_shown"]
    list_editable = ["spot_low", "spot_high", "on_demand", "is_shown"]
    search_fields = ["name", "gpu_name", "source"]

    @admin.display(description=_("memory of each"), ordering="memory_bytes")
    def memory(self, offer: HardwareOffer) -> str:
        return f"{offer.memory_bytes / 1024**3:.0f} GiB × {offer.gpu_count}"


class DeviceInline(TabularInline):
    model = Device
    extra = 0
    fields = ["queue", "kind", "index", "name", "memory_bytes", "is_enabled", "price_per_hour", "holder"]
    readonly_fields = ["queue", "kind", "index", "name", "memory_bytes", "holder"]

    def has_add_permission(self, request, obj=None):
        return False


@admin.register(Node)
class NodeAdmin(ModelAdmin):
    """Machines announce themselves; here they are seen, and forgotten when they are gone for good."""

    list_display = ["shown_name", "hostname", "is_online", "cpus", "memory_bytes", "driver", "announced_at"]
    list_filter = ["is_online"]
    readonly_fields = [
        "name", "hostname", "cpus", "memory_bytes", "driver", "beats", "is_online", "announced_at",
    ]  # fmt: skip
    inlines = [DeviceInline]

    def has_add_permission(self, request):
        return False

    @admin.display(description=_("name"), ordering="name")
    def shown_name(self, node: Node) -> str:
        return node.name or node.hostname


@admin.register(Device)
class DeviceAdmin(ModelAdmin):
    """Which devices take trainings, and what an hour of each costs."""

    list_display = ["queue", "node", "name", "memory_bytes", "is_enabled", "price_per_hour", "holder"]
    list_editable = ["is_enabled", "price_per_hour"]
    list_filter = ["kind", "is_enabled", "node"]
    list_select_related = ["node", "holder__job"]
    readonly_fields = ["node", "kind", "index", "name", "memory_bytes", "queue", "holder"]

    def has_add_permission(self, request):
        return False


class ChainStageInline(ReadOnlyInline):
    model = ChainStage
    fields = ["position", "method", "dataset_version", "gate", "job", "has_passed", "verdict"]
    readonly_fields = fields


@admin.register(Chain)
class ChainAdmin(ModelAdmin):
    list_display = ["name", "owner", "status", "base_model", "created_at", "ended_at"]
    list_filter = ["status", "base_model"]
    search_fields = ["name", "owner__username", "id"]
    list_select_related = ["owner", "base_model"]
    inlines = [ChainStageInline]

    def has_add_permission(self, request):
        return False

    def get_readonly_fields(self, request, obj=None):
        return [field.name for field in self.model._meta.fields]
