from django.contrib import admin
from django.core.exceptions import ValidationError
from django.forms import ModelForm
from unfold.admin import ModelAdmin

from apex.common.admin import SeenAdmin
from gateway.aliases import AliasRefused, refuse_name
from gateway.models import ApiFile, Batch, FineTune, ModelAlias


class AliasForm(ModelForm):
    def clean_name(self) -> str:
        name = self.cleaned_data["name"].strip()
        try:
            refuse_name(name)
        except AliasRefused as problem:
            raise ValidationError(str(problem)) from problem
        return name


@admin.register(ModelAlias)
class ModelAliasAdmin(ModelAdmin):
    """Here the house's aliases are made: those without an owner."""

    form = AliasForm
    list_display = ["name", "base_model", "owner", "created_at"]
    list_filter = ["base_model"]
    search_fields = ["name"]


@admin.register(ApiFile)
class ApiFileAdmin(SeenAdmin):
    list_display = ["file_name", "owner", "purpose", "size", "created_at", "expires_at"]
    list_filter = ["purpose"]
    search_fields = ["file_name", "owner__username"]


@admin.register(FineTune)
class FineTuneAdmin(SeenAdmin):
    list_display = ["public_id", "owner", "model", "status", "job", "created_at"]
    list_filter = ["status"]
    search_fields = ["model", "owner__username"]


@admin.register(Batch)
class BatchAdmin(SeenAdmin):
    list_display = ["public_id", "owner", "status", "endpoint", "total", "completed", "failed", "created_at"]
    list_filter = ["status", "endpoint"]
    search_fields = ["owner__username"]
