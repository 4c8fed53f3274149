"""Asking, following redirects, and reading what comes within limits."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from urllib.parse import urljoin

import httpcore2
from django.utils.translation import gettext as _

from . import addresses, network, places
from .errors import FetchError, FetchFailed, FetchRefused

HOPS = 5
REDIRECTS = {301, 302, 303, 307, 308}
# What may go along to another host; everything else that the caller set (a token above all) stays behind.
HARMLESS = {"accept", "range", "if-match", "if-none-match", "user-agent"}
AGENT = "apex-studio"


@dataclass(frozen=True)
class Limits:
    """Seconds. `total` covers everything up to the last byte; None: as long as bytes come fast enough."""

    connect: float = 10
    read: float = 30
    total: float | None = 120


class Answer:
    """What a server says: `status`, `headers` (names in lower case), and the bytes as they were sent, unpacked by
    nobody. `host` is the last one asked, `url` the address without its query, `passed` the headers of the answers
    that passed us on, first to last."""

    def __init__(
        self,
        place: places.Place,
        response: httpcore2.Response,
        max_bytes: int | None,
        passed: list[dict[str, str]] | None = None,
    ) -> None:
        self.place = place
        self.status = response.status
        self.headers = headers_of(response)
        self.passed = passed or []
        self.max_bytes = max_bytes
        self._response = response
        self._content: bytes | None = None

    @property
    def host(self) -> str:
        return self.place.host

    @property
    def url(self) -> str:
        return places.shown(self.place.url)

    @property
    def length(self) -> int | None:
        """Bytes that the server announces for this answer, if it does."""
        text = self.headers.get("content-length", "")
        return int(text) if text.isdigit() and len(text) < 19 else None

    def raise_for_status(self) -> None:
        """Raises FetchFailed unless the answer is a good one."""
        if not 200 <= self.status < 300:
            raise FetchFailed(status_words(self.host, self.status), self.host, status=self.status)

    def iter_bytes(self) -> Iterator[bytes]:
        """Raises FetchFailed when it breaks off, FetchRefused when more than `max_bytes` come."""
        if self.max_bytes is not None and (self.length or 0) > self.max_bytes:
            raise self.too_large()
        count = 0
        with told(self.host, is_body=True):
            for piece in self._response.iter_stream():
                count += len(piece)
                if self.max_bytes is not None and count > self.max_bytes:
                    raise self.too_large()
                yield piece

    def read(self) -> bytes:
        return b"".join(self.iter_bytes())

    def too_large(self) -> FetchRefused:
        words = _("%(host)s sends more than %(limit)s bytes, which is the most that is taken.")
        return FetchRefused(words % {"host": self.host, "limit": self.max_bytes}, self.host)


def status_words(host: str, status: int) -> str:
    known = {
        401: _("%(host)s wants credentials, or does not accept those of the connection (401)."),
        403: _("%(host)s does not let us read it; look at the credentials and what they may do (403)."),
        404: _("%(host)s has nothing at this address (404)."),
        412: _("%(host)s says that it has changed (412)."),
        416: _("%(host)s says that it has no such part (416)."),
        429: _("%(host)s asks us to come back later (429)."),
    }
    return known.get(status, _("%(host)s answered with status %(status)s.")) % {
        "host": host,
        "status": status,
    }


@contextmanager
def open_url(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    max_bytes: int | None = None,
    byte_range: tuple[int, int | None] | None = None,
    limits: Limits | None = None,
    method: str = "GET",
) -> Iterator[Answer]:
    """Asks for `url` and yields the answer, whatever its status; redirects are followed, HOPS at most.

    `byte_range` is the first byte and the last (None: to the end); a server may ignore it and answer 200.
    Raises FetchRefused before anything is sent to a place that a user's URL may not lead to, FetchFailed otherwise.
    """
    limits = limits or Limits()
    sent = {"User-Agent": AGENT, "Accept": "*/*", **(headers or {}), "Accept-Encoding": "identity"}
    if byte_range is not None:
        first, last = byte_range
        sent["Range"] = f"bytes={first}-{'' if last is None else last}"
    place = places.check_url(url)
    clock = network.Clock(place.host, limits.total)
    passed: list[dict[str, str]] = []
    for _hop in range(HOPS + 1):
        clock.host = place.host
        with asked(place, method, sent, limits, clock) as response:
            location = headers_of(response).get("location", "")
            if response.status not in REDIRECTS or not location:
                yield Answer(place, response, max_bytes, passed)
                return
            passed.append(headers_of(response))
        onward = next_place(place, location)
        if onward.origin != place.origin:
            sent = {name: value for name, value in sent.items() if name.lower() in HARMLESS} | {
                "Accept-Encoding": "identity"
            }
        place = onward
    words = _("%(host)s passes us on more than %(count)s times.")
    raise FetchFailed(words % {"host": place.host, "count": HOPS}, place.host)


def head(url: str, *, headers: Mapping[str, str] | None = None, limits: Limits | None = None) -> Answer:
    """The answer's status and headers, without its bytes."""
    with open_url(url, headers=headers, limits=limits or Limits(total=30), method="HEAD") as answer:
        return answer


@contextmanager
def asked(place: places.Place, method: str, headers: Mapping[str, str], limits: Limits, clock: network.Clock):
    """One request, without following where it leads. A pool of its own: no connection outlives its check."""
    request = httpcore2.Request(
        method,
        httpcore2.URL(
            scheme=place.scheme.encode(),
            host=place.host.encode(),
            port=place.port,
            target=place.target.encode("ascii"),
        ),
        headers=[("Host", place.authority), *headers.items()],
        extensions={"timeout": {"connect": limits.connect, "read": limits.read, "write": limits.read}},
    )
    # Whatever host the pool asks for: it is this place, and goes where this place may lead.
    backend = network.TimedBackend(lambda _host, _port: addresses.addresses_of(place), clock)
    with httpcore2.ConnectionPool(
        ssl_context=trusted(), network_backend=backend, max_connections=1, max_keepalive_connections=0
    ) as pool:
        with told(place.host):
            # A server may say for ever that it is about to answer (1xx), as fast as it likes.
            clock.await_answer(limits.connect + limits.read)
            response = pool.handle_request(request)
            clock.await_answer(None)
        try:
            yield response
        finally:
            response.close()


@cache
def trusted() -> ssl.SSLContext:
    """The certificates that this machine trusts (`SSL_CERT_FILE` names others)."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def headers_of(response: httpcore2.Response) -> dict[str, str]:
    """Names in lower case; of a name that comes twice, the last."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}


def next_place(place: places.Place, location: str) -> places.Place:
    """Where a redirect leads, checked like an address that a user gave."""
    try:
        # Servers write what they like into it; bytes that are not ASCII are meant as UTF-8.
        wanted = urljoin(place.url, location.encode("latin-1").decode("utf-8", "replace"))
        onward = places.check_url(wanted)
    except (FetchRefused, ValueError) as problem:
        words = _("%(host)s passes us on to a place where we do not go: %(why)s")
        raise FetchRefused(words % {"host": place.host, "why": problem}, place.host) from problem
    if place.scheme == "https" and onward.scheme == "http":
        words = _("%(host)s passes us on to %(onward)s without encryption; that is refused.")
        raise FetchRefused(words % {"host": place.host, "onward": onward.host}, place.host)
    return onward


@contextmanager
def told(host: str, *, is_body: bool = False):
    """Network trouble as a plain sentence. The library's own words may hold an address, so they stay behind."""
    try:
        yield
    except FetchError:
        raise
    except httpcore2.TimeoutException as problem:
        words = _("%(host)s did not answer in time.") if not is_body else _("%(host)s stopped sending.")
        raise FetchFailed(words % {"host": host}, host, is_broken_off=is_body) from problem
    except httpcore2.ConnectError as problem:
        raise FetchFailed(connect_words(host, problem), host) from problem
    except httpcore2.RemoteProtocolError as problem:
        words = (
            _("%(host)s broke off before the end.")
            if is_body
            else _("%(host)s does not speak HTTP properly.")
        )
        raise FetchFailed(words % {"host": host}, host, is_broken_off=is_body) from problem
    except (httpcore2.NetworkError, httpcore2.LocalProtocolError, OSError) as problem:
        words = _("The connection to %(host)s broke.")
        raise FetchFailed(words % {"host": host}, host, is_broken_off=is_body) from problem


def connect_words(host: str, problem: Exception) -> str:
    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            words = _("%(host)s shows a certificate that is not trusted here: %(why)s.")
            return words % {"host": host, "why": cause.verify_message.rstrip(".")}
        if isinstance(cause, ssl.SSLError):
            return _("%(host)s does not speak TLS as it should.") % {"host": host}
        cause = cause.__cause__ or cause.__context__
    return _("%(host)s cannot be reached: nobody answers there.") % {"host": host}
