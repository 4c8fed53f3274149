from django.contrib import admin

from apex.common.admin import SeenAdmin
from audit.models import AuditEvent


@admin.register(AuditEvent)
class AuditEventAdmin(SeenAdmin):
    """To look at; nobody changes it."""

    list_display = ["at", "owner_name", "act", "subject_kind", "subject_name", "via", "address"]
    list_filter = ["act", "via", "at"]
    search_fields = ["owner_name", "subject_name", "subject_id"]
    show_full_result_count = False
