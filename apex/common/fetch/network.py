"""The socket below: it goes to the addresses that were checked, and keeps the time."""

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterable

import httpcore2
from django.utils.translation import gettext as _

from . import places
from .errors import FetchFailed, FetchRefused

# A server that feeds a byte now and then holds a worker for ever; one that is slow and steady is fine.
DRIP_SECONDS = 20
DRIP_BYTES_A_SECOND = 500


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, in the order of the system. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Clock:
    """What is left of the time. Waiting for the server counts against a drip, our own slowness does not."""

    def __init__(self, host: str, total_seconds: float | None) -> None:
        self.host = host
        self.total_seconds = total_seconds
        self.deadline = None if total_seconds is None else time.monotonic() + total_seconds
        self.answer_deadline: float | None = None
        self.waited = 0.0
        self.bytes = 0

    def await_answer(self, seconds: float | None) -> None:
        """From now on the beginning of an answer has to come within `seconds`; None: it has come."""
        self.answer_deadline = None if seconds is None else time.monotonic() + seconds

    def left(self, step: float | None) -> float | None:
        """Seconds that the next step may take; raises FetchFailed when there are none."""
        now = time.monotonic()
        if self.deadline is not None and self.deadline <= now:
            words = _("%(host)s was not done in %(seconds)s s.")
            raise FetchFailed(words % {"host": self.host, "seconds": f"{self.total_seconds:g}"}, self.host)
        if self.answer_deadline is not None and self.answer_deadline <= now:
            raise FetchFailed(_("%(host)s did not answer in time.") % {"host": self.host}, self.host)
        ends = [end - now for end in (self.deadline, self.answer_deadline) if end is not None]
        return min([*ends, *([] if step is None else [step])], default=None)

    def note(self, seconds: float, size: int) -> None:
        self.waited += seconds
        self.bytes += size
        if self.waited > DRIP_SECONDS and self.bytes < self.waited * DRIP_BYTES_A_SECOND:
            words = _("%(host)s sends too slowly: %(bytes)s bytes in %(seconds)s s.")
            told = {"host": self.host, "bytes": self.bytes, "seconds": round(self.waited)}
            raise FetchFailed(words % told, self.host)


class GuardedBackend(httpcore2.NetworkBackend):
    """Connects to a checked address of `place`, whatever the name would say a moment later."""

    def __init__(self, place: places.Place, clock: Clock) -> None:
        self.place = place
        self.clock = clock
        self.inner = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable | None = None,
    ) -> httpcore2.NetworkStream:
        failure: Exception | None = None
        for address in self.addresses(host):
            try:
                stream = self.inner.connect_tcp(address, port, self.clock.left(timeout), None, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as problem:
                failure = problem
                continue
            return TimedStream(stream, self.clock)
        raise failure or httpcore2.ConnectError("no address")

    def addresses(self, host: str) -> list[str]:
        """All addresses of the host, each allowed. One that is not spoils all: the name is not to be trusted."""
        if places.literal(host) is not None:
            found = [host]
        else:
            try:
                found = resolve(host, self.place.port)
            except (OSError, UnicodeError) as problem:
                words = _("%(host)s is not known: no address has this name.")
                raise FetchFailed(words % {"host": host}, host) from problem
        for text in found:
            if "%" in text:
                raise FetchRefused(_("%(host)s leads into the local network.") % {"host": host}, host)
            places.check_address(self.place, ipaddress.ip_address(text))
        return found

    def connect_unix_socket(self, path, timeout=None, socket_options=None):
        raise FetchRefused(_("A URL never leads to a socket of this machine."))


class TimedStream(httpcore2.NetworkStream):
    """A stream in which every step ends with the clock."""

    def __init__(self, inner: httpcore2.NetworkStream, clock: Clock) -> None:
        self.inner = inner
        self.clock = clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._timed(lambda left: self.inner.read(max_bytes, left), timeout)

    def _timed(self, step: Callable[[float | None], bytes], timeout: float | None) -> bytes:
        began = time.monotonic()
        got = step(self.clock.left(timeout))
        self.clock.note(time.monotonic() - began, len(got))
        return got

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.inner.write(buffer, self.clock.left(timeout))

    def close(self) -> None:
        self.inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        # OpenSSL's handshake keeps to its timeout as a whole, not for each packet.
        secured = self.inner.start_tls(ssl_context, server_hostname, self.clock.left(timeout))
        return TimedStream(secured, self.clock)

    def get_extra_info(self, info: str):
        return self.inner.get_extra_info(info)
