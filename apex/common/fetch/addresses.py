"""The addresses to which a request may go, checked now."""

import asyncio
import ipaddress

from asgiref.sync import sync_to_async
from django.utils.translation import gettext as _

from . import network, places
from .errors import FetchFailed, FetchRefused

RESOLVE_SECONDS = 5


def allowed_addresses(url: str) -> list[str]:
    """The addresses that a request to `url` may go to. Raises FetchRefused, or FetchFailed for an unknown name."""
    return addresses_of(places.check_url(url))


def addresses_of(place: places.Place) -> list[str]:
    """The same for a URL whose parts are known."""
    if places.literal(place.host) is not None:
        return checked(place, [place.host])
    try:
        found = network.resolve(place.host, place.port)
    except (OSError, UnicodeError) as problem:
        raise unknown(place.host) from problem
    return checked(place, found)


async def find_allowed_addresses(url: str) -> list[str]:
    """As `allowed_addresses`, without holding up others while a slow server of names thinks."""
    place = await sync_to_async(places.check_url)(url)
    if places.literal(place.host) is not None:
        return [place.host]  # checked with the URL
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            found = await asyncio.to_thread(network.resolve, place.host, place.port)
    except (OSError, UnicodeError) as problem:  # TimeoutError is one
        raise unknown(place.host) from problem
    return await sync_to_async(checked)(place, found)


def checked(place: places.Place, addresses: list[str]) -> list[str]:
    """All of them, each allowed. One that is not spoils all: the name is not to be trusted."""
    for text in addresses:
        if "%" in text:
            raise FetchRefused(_("%(host)s leads into the local network.") % {"host": place.host}, place.host)
        places.check_address(place, ipaddress.ip_address(text))
    return addresses


def unknown(host: str) -> FetchFailed:
    return FetchFailed(_("%(host)s is not known: no address has this name.") % {"host": host}, host)
