"""Names resolved, and the socket below, which keeps the time."""

import socket
import ssl
import time
from collections.abc import Callable, Iterable

import httpcore2
from django.utils.translation import gettext as _

from apex.common.pinned import Checked, PinnedBackend

from .errors import FetchFailed

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


class TimedBackend(PinnedBackend):
    """Every connection, and every step on it, ends with the clock."""

    def __init__(self, checked: Checked, clock: Clock) -> None:
        super().__init__(checked)
        self.clock = clock

    def connect(
        self, address: str, port: int, timeout: float | None, socket_options: Iterable | None
    ) -> httpcore2.NetworkStream:
        stream = super().connect(address, port, self.clock.left(timeout), socket_options)
        return TimedStream(stream, self.clock)


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
