from django.contrib import admin
from unfold.admin import ModelAdmin

from base_models.models import BaseModel


@admin.register(BaseModel)
class BaseModelAdmin(ModelAdmin):
    list_display = [
        "display_name",
        "name",
        "source",
        "parameters",
        "context",
        "licence",
        "is_on_this_machine",
    ]
    list_filter = ["source", "is_on_this_machine"]
    search_fields = ["name", "display_name", "location"]
    readonly_fields = ["sha256", "parameters", "size_bytes", "created_at"]
