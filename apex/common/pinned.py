"""Connections that go to addresses which were checked, and nowhere else, whatever a name would say a moment later.

No Django: a child that may import little has its connections from here too. Which addresses are good is for others
to say (`apex.common.fetch`).
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable

import httpcore2

# Hosts whose addresses are remembered for a connection that is about to be made.
MOST_HOSTS = 4096

# The checked addresses of a host and port, the preferred one first; none where it was not checked. What it raises
# ends the request.
Checked = Callable[[str, int], list[str]]


class CheckedAddresses:
    """What was found good for requests that are about to be sent, by host and port.

    Several threads may share it: what is known of a host is never missing while it is noted anew.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, int], list[str]] = OrderedDict()

    def note(self, host: str, port: int, addresses: list[str]) -> None:
        """From now on these, in place of any before. The longest-known hosts are forgotten beyond MOST_HOSTS."""
        self._known[host, port] = addresses
        self._known.move_to_end((host, port))
        while len(self._known) > MOST_HOSTS:
            self._known.popitem(last=False)

    def of(self, host: str, port: int) -> list[str]:
        return self._known.get((host, port), [])

    def clear(self) -> None:
        self._known.clear()


class PinnedBackend(httpcore2.NetworkBackend):
    """The one place where a socket is made: it goes to the first checked address at which somebody answers."""

    def __init__(self, checked: Checked) -> None:
        self.checked = checked
        self.inner = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable | None = None,
    ) -> httpcore2.NetworkStream:
        failure: Exception = httpcore2.ConnectError(f"no address of {host} was found good")
        for address in self.checked(host, port):
            try:
                return self.connect(address, port, timeout, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as problem:
                failure = problem
        raise failure

    def connect(
        self, address: str, port: int, timeout: float | None, socket_options: Iterable | None
    ) -> httpcore2.NetworkStream:
        return self.inner.connect_tcp(address, port, timeout, None, socket_options)

    def connect_unix_socket(self, path, timeout=None, socket_options=None):
        raise httpcore2.ConnectError("an address never leads to a socket of this machine")
