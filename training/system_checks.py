"""What `manage.py check` and every start say of training's settings."""

from django.conf import settings
from django.core.checks import Error, register

from training.trackers import TRACKERS


@register()
def tracker_is_known(app_configs, **kwargs) -> list[Error]:
    if settings.TRACKER in ("", *TRACKERS):
        return []
    names = ", ".join(TRACKERS)
    return [Error(f"APEX_TRACKER is {settings.TRACKER!r}; there is: {names}.", id="training.E001")]
