"""What keeps an adapter from being deleted (`settings.ADAPTER_USERS`): servers read its files while it is at work."""

from collections.abc import Iterable

from django.utils.translation import gettext as _

from serving.models import ON_NODES, Deployment
from training.models import Adapter


def use_of(adapters: Iterable[Adapter]) -> str:
    """Why none of these may be deleted now, in a sentence that says what to do; empty if they may."""
    at_work = Deployment.objects.filter(adapter__in=list(adapters), status__in=ON_NODES).select_related(
        "adapter"
    )
    found = at_work.first()
    if found is None:
        return ""
    return _("%(name)s is at work; take it down first.") % {"name": found.adapter.name}
