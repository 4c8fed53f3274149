"""What keeps an adapter from being deleted (`settings.ADAPTER_USERS`): minions that speak by it."""

from collections.abc import Iterable

from django.utils.translation import gettext as _

from minions.models import Minion
from training.models import Adapter


def use_of(adapters: Iterable[Adapter]) -> str:
    """Why none of these may be deleted now, in a sentence that says what to do; empty if they may."""
    found = Minion.objects.filter(adapter__in=list(adapters)).select_related("adapter").first()
    if found is None:
        return ""
    return _("The minion %(minion)s speaks by %(name)s; give it another one first.") % {
        "minion": found.name,
        "name": found.adapter.name,
    }
