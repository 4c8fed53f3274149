from django.contrib import admin
from django.core.exceptions import ValidationError
from django.forms import ModelForm
from unfold.admin import ModelAdmin

from gateway.aliases import AliasRefused, refuse_name
from gateway.models import ModelAlias


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
