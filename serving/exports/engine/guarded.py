"""Every connection of the hub's client goes where the parent says that it may, and to the addresses that it checked.

The hub names other hosts to upload to and redirects; those are asked about in the same way. The parent alone knows
what an admin allowed (`apex.common.fetch.places`).
"""

import ssl
from typing import Any

import httpcore2
import httpx2
from huggingface_hub import set_client_factory

from apex.common.pinned import CheckedAddresses, PinnedBackend
from serving.exports.engine.asked import ExportFailed, Voice

SECONDS = httpx2.Timeout(60, connect=15)


class GuardedTransport(httpx2.HTTPTransport):
    """Asks the parent before each request, redirects included: names move, and admins change their minds."""

    def __init__(self, voice: Voice) -> None:
        super().__init__(trust_env=False)
        self.voice = voice
        self.checked = CheckedAddresses()
        self._pool: Any = httpcore2.ConnectionPool(
            ssl_context=ssl.create_default_context(), network_backend=PinnedBackend(self.checked.of)
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.check(request.url)
        return super().handle_request(request)

    def check(self, url: httpx2.URL) -> None:
        """Raises ExportFailed where a connection may not go."""
        port = url.port or (443 if url.scheme == "https" else 80)
        bare = str(url.copy_with(query=None, fragment=None))
        answer = self.voice.ask("may_connect", url=bare)
        if "refused" in answer:
            raise ExportFailed(
                "address_refused", answer["refused"], "Whoever runs Apex can allow this host in the admin."
            )
        self.checked.note(url.host, port, answer["addresses"])


def use_guarded_connections(voice: Voice) -> None:
    """For all that the hub's client does in this process from now on: no proxies, no .netrc of the machine."""
    set_client_factory(
        lambda: httpx2.Client(
            transport=GuardedTransport(voice), trust_env=False, follow_redirects=True, timeout=SECONDS
        )
    )
