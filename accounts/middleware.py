"""Shows each page's times in the zone of the person who reads it."""

import zoneinfo

from asgiref.sync import iscoroutinefunction
from django.utils import timezone
from django.utils.decorators import sync_and_async_middleware


@sync_and_async_middleware
def user_time_zone(get_response):
    """For a request of somebody signed in, the current time zone is theirs; UTC for everybody else."""
    if iscoroutinefunction(get_response):

        async def middleware(request):
            user = await request.auser()
            with timezone.override(zone_of(user)):
                return await get_response(request)
    else:

        def middleware(request):
            with timezone.override(zone_of(request.user)):
                return get_response(request)

    return middleware


def zone_of(user) -> zoneinfo.ZoneInfo:
    """The user's zone; UTC where there is none, or where this machine no longer knows it."""
    try:
        return zoneinfo.ZoneInfo(getattr(user, "time_zone", None) or "UTC")
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return zoneinfo.ZoneInfo("UTC")
