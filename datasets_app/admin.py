"""The back office of datasets. Versions are written once, so they are for reading here."""

from django.contrib import admin
from django.db.models import Prefetch
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline

from apex.common.fetch import shown
from datasets_app.models import (
    Connection,
    Dataset,
    DatasetImport,
    DatasetVersion,
    Reference,
    Review,
    ShareLink,
)


class GoesWithItsOwner:
    """Not deleted on its own pages here, but along with a user who is deleted."""

    def has_delete_permission(self, request, obj=None):
        # Deleting one set goes by the owner's page, which also says what learned from it.
        here = request.resolver_match
        if here is None or here.url_name.startswith("datasets_app_"):
            return False
        return super().has_delete_permission(request, obj)


class VersionInline(TabularInline):
    model = DatasetVersion
    fields = ["number", "format", "row_count", "train_count", "held_out_count", "fault_count", "created_at"]
    readonly_fields = fields
    extra = 0
    can_delete = False
    show_change_link = True
    ordering = ["-number"]

    def has_add_permission(self, request, obj=None):
        return False

    def has_change_permission(self, request, obj=None):
        return False


@admin.register(Dataset)
class DatasetAdmin(GoesWithItsOwner, ModelAdmin):
    list_display = ["name", "owner", "newest_rows", "created_at", "erased_at"]
    list_filter = ["owner"]
    search_fields = ["name", "description", "owner__username", "id"]
    date_hierarchy = "created_at"
    readonly_fields = ["owner", "created_at"]
    list_select_related = ["owner"]
    inlines = [VersionInline]

    @admin.display(description=_("examples"))
    def newest_rows(self, dataset: Dataset) -> int:
        versions = dataset.versions.all()
        return max(versions, key=lambda version: version.number).row_count if versions else 0

    def get_queryset(self, request):
        return (
            super()
            .get_queryset(request)
            .prefetch_related(Prefetch("versions", queryset=DatasetVersion.objects.defer("faults")))
        )

    def has_add_permission(self, request):
        return False


@admin.register(DatasetVersion)
class DatasetVersionAdmin(GoesWithItsOwner, ModelAdmin):
    list_display = [
        "dataset", "number", "owner", "format", "row_count", "held_out_count", "fault_count", "made_by", "created_at",
        "erased_at",
    ]  # fmt: skip
    list_filter = ["format", "made_by", "owner"]
    search_fields = ["dataset__name", "owner__username", "file_name", "source_sha256", "id"]
    date_hierarchy = "created_at"
    list_select_related = ["dataset", "owner"]

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False


@admin.register(Connection)
class ConnectionAdmin(ModelAdmin):
    """Who has which way out, without what opens it."""

    list_display = ["name", "owner", "kind", "endpoint_url", "hint", "used_at", "created_at"]
    list_filter = ["kind"]
    search_fields = ["name", "owner__username", "endpoint_url"]
    fields = ["owner", "name", "kind", "endpoint_url", "region", "hint", "used_at", "created_at"]
    readonly_fields = fields
    list_select_related = ["owner"]

    def has_add_permission(self, request):
        return False


@admin.register(Reference)
class ReferenceAdmin(GoesWithItsOwner, ModelAdmin):
    list_display = ["shown_uri", "owner", "connection", "size", "checked_at"]
    search_fields = ["uri", "owner__username", "sha256"]
    fields = ["owner", "shown_uri", "connection", "etag", "size", "sha256", "format", "checked_at"]
    readonly_fields = fields
    list_select_related = ["owner", "connection"]

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False


@admin.register(DatasetImport)
class DatasetImportAdmin(GoesWithItsOwner, ModelAdmin):
    list_display = [
        "__str__",
        "owner",
        "source",
        "status",
        "progress",
        "length",
        "heartbeat_at",
        "created_at",
    ]
    # Not its recipe: an address may be signed, and what was edited is its owner's.
    fields = [
        "owner", "source", "status", "shown_uri", "name", "dataset", "connection", "file_name", "length", "offset",
        "progress", "message", "version", "heartbeat_at", "created_at", "updated_at", "expires_at",
    ]  # fmt: skip
    readonly_fields = ["shown_uri", "created_at", "updated_at"]
    list_filter = ["status", "source", "owner"]
    search_fields = ["file_name", "name", "owner__username", "id"]
    date_hierarchy = "created_at"
    list_select_related = ["owner"]

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False

    @admin.display(description=_("address"))
    def shown_uri(self, imported: DatasetImport) -> str:
        return shown(imported.recipe.get("uri", ""))


class ForReading(GoesWithItsOwner, ModelAdmin):
    """What people said and whom they invited is theirs: here it is looked at."""

    list_filter = ["owner"]
    date_hierarchy = "created_at"

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False


@admin.register(Review)
class ReviewAdmin(ForReading):
    list_display = ["row_key", "owner", "dataset", "verdict", "rating", "source", "reviewer", "updated_at"]
    list_select_related = ["owner", "dataset", "reviewer"]


@admin.register(ShareLink)
class ShareLinkAdmin(ForReading):
    list_display = ["__str__", "owner", "version", "expires_at", "revoked_at"]
    list_select_related = ["owner", "version__dataset"]
    exclude = ["token_hash"]
