"""Where a server's address that a user gave may lead: the same places as any other URL of theirs."""

from __future__ import annotations

import ipaddress

from asgiref.sync import sync_to_async

from apex.common.fetch import FetchRefused, places
from apex.common.fetch.network import resolve
from serving.protocol import ApiError


async def guard(url: str) -> list[str]:
    """The addresses to which a request to `url` may go now. Raises ApiError (400) with the reason."""
    return await sync_to_async(allowed_addresses)(url)


def allowed_addresses(url: str) -> list[str]:
    """As `guard`, for callers outside an event loop (a form that checks what was typed)."""
    try:
        place = places.check_url(url)
        if places.literal(place.host) is not None:
            return [place.host]
        found = resolve(place.host, place.port)
        for text in found:
            if "%" in text:
                raise FetchRefused(f"{place.host} leads into the local network.", place.host)
            # One that is not allowed spoils all: the name is not to be trusted.
            places.check_address(place, ipaddress.ip_address(text))
    except FetchRefused as problem:
        raise ApiError(str(problem), param="address", code="address_refused") from problem
    except (OSError, UnicodeError) as problem:
        raise ApiError(
            f"No address is known for {url}.", status=503, kind="server_error", code="backend_unavailable"
        ) from problem
    return found
