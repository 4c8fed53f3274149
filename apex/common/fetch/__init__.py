"""The only way out to a URL that a user gave.

    with open_url("https://example.org/letters.jsonl", max_bytes=10**9) as answer:
        for piece in answer.iter_bytes():
            ...

A name is resolved here, every address it has is checked, and the connection goes to the very address that was
checked: a name that changes its mind in between (DNS rebinding) changes nothing. Redirects are followed by hand
and checked like the first address. Nothing is taken from the environment: no proxy, no .netrc. What is private is
refused unless a superuser allowed it (`places.allowed_places`).
"""

from .addresses import allowed_addresses, find_allowed_addresses
from .answers import HOPS, Answer, Limits, head, open_url
from .errors import FetchError, FetchFailed, FetchRefused
from .places import allowed_places, check_base, check_url, shown

__all__ = [
    "HOPS",
    "Answer",
    "FetchError",
    "FetchFailed",
    "FetchRefused",
    "Limits",
    "allowed_addresses",
    "allowed_places",
    "check_base",
    "check_url",
    "find_allowed_addresses",
    "head",
    "open_url",
    "shown",
]
