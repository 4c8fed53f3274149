"""The back office of knowledge: who has what, and what went wrong. What stands in documents is their owner's."""

from django.contrib import admin
from unfold.admin import ModelAdmin

from apex.common.fetch import shown
from knowledge.models import Document, KnowledgeBase, KnowledgeIndex, Remnant


class ForReading(ModelAdmin):
    """Deleted by its owner, or along with them."""

    list_filter = ["owner"]
    date_hierarchy = "created_at"

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False

    def has_delete_permission(self, request, obj=None):
        here = request.resolver_match
        if here is None or here.url_name.startswith("knowledge_"):
            return False
        return super().has_delete_permission(request, obj)


@admin.register(KnowledgeBase)
class KnowledgeBaseAdmin(ForReading):
    list_display = ["name", "owner", "created_at"]
    search_fields = ["name", "owner__username", "id"]
    list_select_related = ["owner"]


@admin.register(KnowledgeIndex)
class KnowledgeIndexAdmin(ForReading):
    list_display = [
        "__str__",
        "owner",
        "status",
        "embedding",
        "model",
        "dimension",
        "store",
        "chunk_count",
        "created_at",
    ]
    list_filter = ["status", "embedding", "store", "owner"]
    search_fields = ["knowledge_base__name", "owner__username", "id"]
    list_select_related = ["owner", "knowledge_base"]


@admin.register(Document)
class DocumentAdmin(ForReading):
    list_display = [
        "name",
        "owner",
        "knowledge_base",
        "status",
        "kind",
        "size",
        "chunk_count",
        "heartbeat_at",
        "created_at",
    ]
    # Not its address as it is: it may be signed.
    fields = [
        "owner", "knowledge_base", "name", "shown_url", "number", "status", "message", "kind", "size", "characters",
        "pages", "chunk_count", "progress", "tries", "heartbeat_at", "created_at", "updated_at",
    ]  # fmt: skip
    readonly_fields = ["shown_url", "created_at", "updated_at"]
    list_filter = ["status", "kind", "owner"]
    search_fields = ["name", "owner__username", "source_sha256", "id"]
    list_select_related = ["owner", "knowledge_base"]

    @admin.display(description="address")
    def shown_url(self, document: Document) -> str:
        return shown(document.url)


@admin.register(Remnant)
class RemnantAdmin(ForReading):
    """Gone by itself once its store has let go of it."""

    list_display = ["index_id", "store", "whose", "tries", "tried_at", "problem", "created_at"]
    list_filter = ["store"]
    search_fields = ["index_id", "whose"]
