"""What the back offices of several apps share."""

from unfold.admin import TabularInline


class ReadOnlyInline(TabularInline):
    """Rows below another one, to look at."""

    extra = 0
    can_delete = False

    def has_add_permission(self, request, obj=None):
        return False

    def has_change_permission(self, request, obj=None):
        return False
