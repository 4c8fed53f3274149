"""What the back offices of several apps share."""

from unfold.admin import ModelAdmin, TabularInline


class ReadOnlyInline(TabularInline):
    """Rows below another one, to look at."""

    extra = 0
    can_delete = False

    def has_add_permission(self, request, obj=None):
        return False

    def has_change_permission(self, request, obj=None):
        return False


class SeenAdmin(ModelAdmin):
    """To look at: what people, programs and Apex itself have made is changed there, not here."""

    def has_add_permission(self, request) -> bool:
        return False

    def has_change_permission(self, request, obj=None) -> bool:
        return False

    def has_delete_permission(self, request, obj=None) -> bool:
        return False
