"""The back office of minions: who has which, and how they answer. Texts of conversations are not shown here."""

from django.contrib import admin
from unfold.admin import ModelAdmin

from apex.common.admin import ReadOnlyInline
from minions.models import AnswerTrace, Minion, MinionVersion


class VersionInline(ReadOnlyInline):
    model = MinionVersion
    fields = readonly_fields = ["number", "created_at"]


@admin.register(Minion)
class MinionAdmin(ModelAdmin):
    list_display = ["name", "owner", "mode", "adapter", "requests_per_minute", "changed_at"]
    list_filter = ["mode"]
    search_fields = ["name", "owner__username"]
    list_select_related = ["owner", "adapter"]
    fields = ["name", "owner", "mode", "adapter", "requests_per_minute", "created_at", "changed_at"]
    # What shapes answers is its owner's, and kept as versions; the house sets how often it may be asked.
    readonly_fields = ["name", "owner", "mode", "adapter", "created_at", "changed_at"]
    inlines = [VersionInline]

    def has_add_permission(self, request):
        return False


@admin.register(AnswerTrace)
class AnswerTraceAdmin(ModelAdmin):
    list_display = [
        "created_at",
        "minion",
        "owner",
        "source",
        "status",
        "provider",
        "model",
        "cost",
        "first_ms",
    ]
    list_filter = ["status", "source", "provider"]
    search_fields = ["minion__name", "owner__username", "model"]
    list_select_related = ["minion", "owner"]
    date_hierarchy = "created_at"
    fields = [
        "created_at", "minion", "version", "owner", "source", "status", "provider", "model", "why", "input_tokens",
        "output_tokens", "cost", "own_ms", "first_ms", "total_ms",
    ]  # fmt: skip
    readonly_fields = fields

    def has_add_permission(self, request):
        return False
