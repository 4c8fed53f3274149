"""The back office of accounts. Tokens show who and when, never what."""

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts.forms import AllowedPlaceForm
from accounts.models import AllowedPlace, ApiToken, Notice, NoticeMail, User
from apex.common.admin import SuperusersOnly

admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["username", "email", "is_active", "is_superuser", "last_login", "date_joined"]
    list_filter = ["is_active", "is_superuser", "date_joined"]
    fieldsets = (
        *DjangoUserAdmin.fieldsets,
        (
            _("Preferences"),
            {"fields": ["time_zone", "mails_budgets", "upload_limit_mb"]},
        ),
        (
            _("Limits a minute"),
            {"fields": ["requests_per_minute", "tokens_per_minute", "calls_per_minute"]},
        ),
    )


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    pass


@admin.register(ApiToken)
class ApiTokenAdmin(ModelAdmin):
    list_display = ["name", "user", "scopes", "model_names", "created", "last_used_at", "expiry"]
    search_fields = ["name", "user__username"]
    fields = ["name", "user", "scopes", "model_names", "created", "last_used_at", "expiry"]
    readonly_fields = fields
    list_select_related = ["user"]

    def has_add_permission(self, request):
        return False


@admin.register(Notice)
class NoticeAdmin(ModelAdmin):
    list_display = ["text", "owner", "kind", "created_at", "read_at"]
    list_filter = ["kind"]
    search_fields = ["text", "owner__username"]


@admin.register(NoticeMail)
class NoticeMailAdmin(ModelAdmin):
    """Whether e-mails go out, and why not."""

    list_display = ["text", "notice_owner", "status", "tries", "due_at", "moved_at", "problem"]
    list_filter = ["status"]
    search_fields = ["notice__owner__username"]
    fields = ["notice", "text", "status", "tries", "due_at", "moved_at", "problem"]
    readonly_fields = fields
    list_select_related = ["notice__owner"]
    ordering = ["-moved_at"]

    @admin.display(description=_("owner"), ordering="notice__owner__username")
    def notice_owner(self, mail):
        return mail.notice.owner

    def has_add_permission(self, request):
        return False


@admin.register(AllowedPlace)
class AllowedPlaceAdmin(SuperusersOnly, ModelAdmin):
    """Opens the house."""

    form = AllowedPlaceForm
    list_display = ["place", "what", "note", "created_at"]
    list_filter = ["what"]
    search_fields = ["place", "note"]
