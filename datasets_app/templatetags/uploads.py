"""What the drop zone tells its script."""

import uuid

from django import template
from django.conf import settings
from django.urls import reverse

from datasets_app.services import upload_limit

register = template.Library()


@register.simple_tag
def check_at_once_bytes() -> int:
    """Files up to this size are checked while the browser waits; larger ones go in pieces."""
    return settings.CHECK_AT_ONCE_BYTES


@register.simple_tag
def import_address() -> str:
    """The page of an import, with zeros where its id goes."""
    return reverse("datasets:import-detail", args=[uuid.UUID(int=0)])


@register.simple_tag
def import_in(address: str) -> str:
    """The page at `address` that shows an import, with zeros where its id goes."""
    return f"{address}?import={uuid.UUID(int=0)}"


@register.simple_tag
def upload_limit_mb(user) -> int:
    """The largest file that this person may bring, in whole MB."""
    return upload_limit(user) // (1024 * 1024)


@register.filter
def percent(share: float) -> int:
    """0.417 → 42."""
    return round(share * 100)
