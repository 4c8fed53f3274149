"""Which addresses a user's URL may lead to."""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from .errors import FetchRefused

LONGEST_URL = 4000
LONGEST_BASE = 300
DEFAULT_PORTS = {"https": 443, "http": 80}
LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
# Digits and dots, octal, hex: what some resolvers read as an IPv4 address and others do not.
NUMBER_LIKE = re.compile(r"(0x[0-9a-f]*|[0-9]+)")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Where clouds keep the keys of the machine. Not even an admin's wide network opens these.
METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254", "169.254.169.253", "169.254.170.2", "169.254.170.23", "168.63.129.16",
        "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fe80::a9fe:a9fe",
    )
)  # fmt: skip

# https://www.iana.org/assignments/iana-ipv4-special-registry and its twin for IPv6. Python's `is_global` differs
# from one patch release to the next, so both have to agree.
NOT_PUBLIC_V4 = [
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
        "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24",
        "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
    )
]  # fmt: skip
PUBLIC_V6 = ipaddress.ip_network("2000::/3")
# IPv4 in disguise (6to4, Teredo) and what is set aside. Mapped addresses and NAT64 lie outside 2000::/3.
NOT_PUBLIC_V6 = [
    ipaddress.ip_network(text)
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
]


@dataclass(frozen=True)
class Place:
    """A checked URL. `host` is lower-case ASCII without brackets; `target` what is asked of it, query and all."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """As it stands in the `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def shown(url: str) -> str:
    """A URL as it may be shown and logged: without the query, which may be signed, without userinfo, shortened."""
    bare = re.sub(r"//[^/@]*@", "//", url.split("?", 1)[0].split("#", 1)[0])
    return bare if len(bare) <= 200 else bare[:199] + "…"


def check_url(url: str) -> Place:
    """The parts of `url`, if it is one that may be asked for at all. Raises FetchRefused with the reason.

    Says nothing yet of where a name leads: `check_address` does, for each address, just before connecting.
    """
    if len(url) > LONGEST_URL:
        raise FetchRefused(_("The address is longer than %(limit)s characters.") % {"limit": LONGEST_URL})
    if not url.isascii() and not url.isprintable() or re.search(r"[\x00-\x20\x7f\\]", url):
        raise FetchRefused(
            _("The address holds a space, a control character or a backslash; write them as %%20 and so on.")
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as problem:
        raise FetchRefused(_("“%(url)s” is no valid address.") % {"url": shown(url)}) from problem
    scheme = parts.scheme.lower()
    if scheme not in DEFAULT_PORTS:
        raise FetchRefused(_("“%(url)s” does not begin with https://.") % {"url": shown(url)})
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise FetchRefused(
            _(
                "The address holds a name or password before the @; store them as a connection and leave them out."
            ),
            parts.hostname or "",
        )
    host = clean_host(parts.hostname or "")
    path = parts.path or "/"
    target = ascii_target(path if path.startswith("/") else f"/{path}", parts.query)
    place = Place(scheme, host, port if port is not None else DEFAULT_PORTS[scheme], target)
    check_port(place)
    if (address := literal(host)) is not None:
        check_address(place, address)
    return place


def check_base(url: str) -> Place:
    """As `check_url`, for an address to which paths are added. Raises FetchRefused."""
    if "?" in url or "#" in url or len(url) > LONGEST_BASE:
        raise FetchRefused(_("Give the address alone, without ? and #."))
    return check_url(url)


def ascii_target(path: str, query: str) -> str:
    text = f"{path}?{query}" if query else path
    return "".join(c if c.isascii() else "".join(f"%{byte:02X}" for byte in c.encode()) for c in text)


def clean_host(host: str) -> str:
    """One spelling for each host. Raises FetchRefused for what is no plain name and no plainly written address."""
    host = host.lower().removesuffix(".")
    if ":" in host:
        try:
            if "%" in host:
                raise ValueError("a zone")
            return ipaddress.IPv6Address(host).compressed
        except ValueError as problem:
            raise no_host(host) from problem
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii").lower()
        except UnicodeError as problem:
            raise no_host(host) from problem
    labels = host.split(".")
    if len(host) > 253 or not all(LABEL.fullmatch(label) for label in labels):
        raise no_host(host)
    if NUMBER_LIKE.fullmatch(labels[-1]):  # no top-level domain is a number, so this is meant as an address
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError as problem:
            raise FetchRefused(
                _(
                    "“%(host)s” is an odd spelling of an address; write it as four plain numbers, or use a name."
                )
                % {"host": host},
                host,
            ) from problem
    return host


def no_host(host: str) -> FetchRefused:
    return FetchRefused(_("“%(host)s” is not the name of a host.") % {"host": host[:100]}, host)


# --- what an admin allowed ---------------------------------------------------------------------------------
def allowed_places() -> list[str]:
    """Hosts and networks that the house allows, from the environment and from the admin (`settings.ALLOWED_PLACES`)."""
    return [*settings.ALLOWED_HOSTS_OUT, *import_string(settings.ALLOWED_PLACES)("host")]


def is_allowed_name(place: Place) -> bool:
    """Whether an admin named this host, with this port or with none."""
    for text in allowed_places():
        host, port = split_host(text)
        if host == place.host and port in (None, place.port):
            return True
    return False


def is_allowed_address(address: Address, port: int) -> bool:
    """Whether an admin allowed the network that this address is in."""
    for text in allowed_places():
        network, wanted_port = network_of(text)
        if network is not None and address in network and wanted_port in (None, port):
            return True
    return False


def split_host(text: str) -> tuple[str, int | None]:
    """`minio.internal:9000` → its host, lower-case, and its port or None. An IPv6 address has brackets or no port."""
    text = text.strip().lower()
    bracketed = re.fullmatch(r"\[([0-9a-f:.]+)\](?::(\d{1,5}))?", text)
    if bracketed:
        return bracketed[1], int(bracketed[2]) if bracketed[2] else None
    if text.count(":") == 1:
        host, _colon, port = text.partition(":")
        return host.removesuffix("."), int(port) if port.isdigit() else None
    return text.removesuffix("."), None


def network_of(text: str) -> tuple[Network | None, int | None]:
    """The network that an allowed place names, or None for a host name."""
    try:
        return ipaddress.ip_network(text.strip(), strict=False), None
    except ValueError:
        host, port = split_host(text)
    try:
        return ipaddress.ip_network(host, strict=False), port
    except ValueError:
        return None, None


# --- the two checks ----------------------------------------------------------------------------------------
def check_port(place: Place) -> None:
    """https on its own port only, unless an admin allowed the host: a URL is no way to knock at other doors."""
    if place.scheme == "https" and place.port == DEFAULT_PORTS["https"]:
        return
    if is_allowed_name(place):
        return
    address = literal(place.host)
    if address is not None and is_allowed_address(address, place.port):
        return
    if place.scheme == "http":
        why = _("%(host)s is asked for without encryption; use https://, or ask an admin to allow this host.")
        raise FetchRefused(why % {"host": place.host}, place.host)
    why = _("%(host)s is asked for at port %(port)s; only 443 is open, unless an admin allows this host.")
    raise FetchRefused(why % {"host": place.host, "port": place.port}, place.host)


def check_address(place: Place, address: Address) -> None:
    """Raises FetchRefused unless a connection for `place` may go to `address`, one of those its name has."""
    bare = unmapped(address)
    if bare not in METADATA and (
        is_public(address) or is_allowed_name(place) or is_allowed_address(address, place.port)
    ):
        return
    if place.host == str(address):
        why = _(
            "%(host)s is an address inside a private or reserved network; users' addresses may not lead there."
        )
    else:
        why = _(
            "%(host)s leads to an address inside a private or reserved network; users' addresses may not go there."
        )
    advice = _("If it is a store of your own, ask an admin to allow it.")
    raise FetchRefused(f"{why % {'host': place.host}} {advice}", place.host)


def literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def unmapped(address: Address) -> Address:
    """The IPv4 address inside a mapped one."""
    return getattr(address, "ipv4_mapped", None) or address


def is_public(address: Address) -> bool:
    """Whether everybody on the internet means the same machine by it."""
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified:
        return False
    if address in METADATA:
        return False
    if address.version == 4:
        return not any(address in network for network in NOT_PUBLIC_V4)
    return address in PUBLIC_V6 and not any(address in network for network in NOT_PUBLIC_V6)
