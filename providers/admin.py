"""The back office of providers: who has which key, never the key; and prices."""

from django.contrib import admin
from unfold.admin import ModelAdmin

from apex.common.admin import SuperusersOnly
from providers.models import PriceOverride, ProviderKey


@admin.register(ProviderKey)
class ProviderKeyAdmin(ModelAdmin):
    """Lending is for a key's owner, on its page: what is lent here would be somebody else's to pay."""

    list_display = [
        "name",
        "provider",
        "owner",
        "hint",
        "is_shared",
        "last_used_at",
        "tested_at",
        "created_at",
    ]
    list_filter = ["provider", "is_shared"]
    search_fields = ["name", "owner__username", "base_url"]
    fields = [
        "owner", "provider", "name", "hint", "base_url", "is_shared", "shared_with", "last_used_at",
        "tested_at", "problem", "created_at", "updated_at",
    ]  # fmt: skip
    readonly_fields = fields
    list_select_related = ["owner"]

    def has_add_permission(self, request):
        return False


@admin.register(PriceOverride)
class PriceOverrideAdmin(SuperusersOnly, ModelAdmin):
    """Prices count for everybody's budgets."""

    list_display = ["provider", "model", "input_price", "output_price", "cached_price", "note", "updated_at"]
    list_filter = ["provider"]
    search_fields = ["model", "note"]
