"""What a million tokens of our own servers cost, as superusers set it in the admin."""

from __future__ import annotations

from django.db.models import Q
from django.utils.translation import gettext as _

from ledger.models import ServingPrice
from ledger.money import TokenPrice


def own_price(base_model: str) -> TokenPrice | None:
    """Of answers by this base model and its adapters; None: nobody has set one, and they cost nothing."""
    rows = ServingPrice.objects.filter(Q(model_name=base_model) | Q(model_name="")).order_by("-model_name")
    row = rows.first()
    if row is None:
        return None
    source = row.source or _("prices of our own answers, in the admin")
    return TokenPrice.per_million(row.input_dollars, row.output_dollars, source=source)
