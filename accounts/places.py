"""What superusers allowed for the whole house (`settings.ALLOWED_PLACES` names this)."""

from accounts.models import AllowedPlace


def allowed_places(what: str) -> list[str]:
    """Hosts and networks (`what` is "host") or directories ("directory")."""
    return list(AllowedPlace.objects.filter(what=what).values_list("place", flat=True))
