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


class SuperusersOnly:
    """Before `ModelAdmin`: what counts for the whole house, whatever permissions a group was given."""

    def has_module_permission(self, request):
        return request.user.is_active and request.user.is_superuser

    has_view_permission = has_change_permission = has_delete_permission = lambda self, request, obj=None: (
        self.has_module_permission(request)
    )

    def has_add_permission(self, request):
        return self.has_module_permission(request)


class SeenAdmin(ModelAdmin):
    """To look at: what people, programs and Apex itself have made is changed there, not here."""

    def has_add_permission(self, request) -> bool:
        return False

    def has_change_permission(self, request, obj=None) -> bool:
        return False

    def has_delete_permission(self, request, obj=None) -> bool:
        return False
