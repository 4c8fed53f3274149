"""Every connection of the hub's client goes where the parent says that it may, and to the addresses that it checked.

The hub names other hosts to upload to and redirects; those are asked about in the same way. The parent alone knows
what an admin allowed (`apex.common.fetch.places`).
"""

import ssl
from collections.abc import Iterable
from typing import Any

import httpcore2
import httpx2
from huggingface_hub import set_client_factory

from serving.exports.engine.asked import ExportFailed, Voice

SECONDS = httpx2.Timeout(60, connect=15)


class AllowedPlaces:
    """What the parent has said so far, by (host, port)."""

    def __init__(self, voice: Voice) -> None:
        self.voice = voice
        self.known: dict[tuple[str, int], list[str]] = {}

    def check(self, url: httpx2.URL) -> None:
        """Raises ExportFailed where a connection may not go. Asked anew each time: names move, admins too."""
        port = url.port or (443 if url.scheme == "https" else 80)
        bare = str(url.copy_with(query=None, fragment=None))
        answer = self.voice.ask("may_connect", url=bare)
        if "refused" in answer:
            raise ExportFailed(
                "address_refused", answer["refused"], "Whoever runs Apex can allow this host in the admin."
            )
        self.known[(url.host, port)] = answer["addresses"]

    def addresses(self, host: str, port: int) -> list[str]:
        return self.known.get((host, port), [])


class PinnedBackend(httpcore2.NetworkBackend):
    """Connects to a checked address, whatever the name would say a moment later."""

    def __init__(self, places: AllowedPlaces) -> None:
        self.places = places
        self.inner = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable | None = None,
    ) -> httpcore2.NetworkStream:
        failure: Exception = httpcore2.ConnectError(f"no address of {host} was allowed")
        for address in self.places.addresses(host, port):
            try:
                return self.inner.connect_tcp(address, port, timeout, None, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as problem:
                failure = problem
        raise failure

    def connect_unix_socket(self, path, timeout=None, socket_options=None):
        raise httpcore2.ConnectError("a hub is never a socket of this machine")


class GuardedTransport(httpx2.HTTPTransport):
    def __init__(self, places: AllowedPlaces) -> None:
        super().__init__(trust_env=False)
        self.places = places
        self._pool: Any = httpcore2.ConnectionPool(
            ssl_context=ssl.create_default_context(), network_backend=PinnedBackend(places)
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.places.check(request.url)
        return super().handle_request(request)


def use_guarded_connections(voice: Voice) -> None:
    """For all that the hub's client does in this process from now on: no proxies, no .netrc of the machine."""
    places = AllowedPlaces(voice)
    set_client_factory(
        lambda: httpx2.Client(
            transport=GuardedTransport(places), trust_env=False, follow_redirects=True, timeout=SECONDS
        )
    )
