"""Outbound guard against server-side request forgery (SSRF).

URLs named by a model, a document or a user are untrusted. `OutboundPolicy.check_url` parses a
URL with a strict parser and compares its host with the operator's list of hosts;
`OutboundPolicy.resolve_public_addresses` resolves the host once and blocks the URL unless all
addresses are public. The caller then connects to these addresses without resolving again, so that
the DNS answer cannot change between check and connection (DNS rebinding).
"""

import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import quote

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Sequence[str]]

_MAX_URL_LENGTH: Final = 2_048
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_URL = re.compile(
    r"(?P<scheme>[a-z]+)://(?P<authority>[^/?#]*)(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(?:#.*)?",
    re.IGNORECASE,
)
_AUTHORITY = re.compile(
    r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?", re.IGNORECASE
)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# Characters that stay as they are in a path and a query; all others are percent-encoded.
_UNESCAPED: Final = "/?%:@!$&'()*+,;=-._~[]|"

# Blocks of the IANA special-purpose address registry that are not globally reachable, and the
# metadata addresses of cloud providers.
_NOT_PUBLIC_V4: Final = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "168.63.129.16/32",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)
# The only allocated global unicast block. IPv4-mapped, NAT64, unique local and link-local
# addresses are outside of it.
_PUBLIC_V6: Final = ip_network("2000::/3")
# Teredo and other protocol assignments, documentation, 6to4: the target behind a tunnel is unknown.
_NOT_PUBLIC_V6: Final = tuple(
    map(ip_network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
)
_ISATAP: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})


class OutboundBlocked(Exception):
    """The URL may not be called. The message gives the reason and may be shown to the caller."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A parsed URL: `host` in lower case without brackets; `target` is path and query."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """Value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


@dataclass(frozen=True, slots=True)
class AllowedHost:
    """One entry of the operator's list: `host`, `*.domain` or `*`, optionally with a port."""

    pattern: str
    port: int | None

    @classmethod
    def parse(cls, text: str) -> "AllowedHost":
        """Parse an entry.

        Raises:
            ValueError: *text* is not a valid entry.
        """
        pattern, separator, port = text.strip().lower().rpartition(":")
        if not separator or port.endswith("]"):  # no port, or the colons of an IPv6 address
            pattern, port = text.strip().lower(), ""
        elif not (port.isascii() and port.isdigit()):
            raise ValueError(f"{text!r} has no port number after its colon.")
        if pattern != "*":
            prefix = "*." if pattern.startswith("*.") else ""
            try:
                pattern = prefix + _normalize_host(pattern.removeprefix("*."))
            except OutboundBlocked as error:
                raise ValueError(f"{text!r} is not a host: {error}") from error
        return cls(pattern, int(port) if port else None)

    def matches(self, destination: Destination) -> bool:
        port = _DEFAULT_PORTS[destination.scheme] if self.port is None else self.port
        if destination.port != port:
            return False
        if self.pattern.startswith("*."):
            return destination.host.endswith(self.pattern[1:])
        return self.pattern in {"*", destination.host}


def is_public(address: Address) -> bool:
    """Return whether *address* is a public internet address, not private, reserved or tunnelled."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    interface = int(address) >> 32 & 0xFFFF_FFFF
    return (
        address in _PUBLIC_V6
        and interface not in _ISATAP
        and not any(address in network for network in _NOT_PUBLIC_V6)
    )


def resolve_host(host: str, port: int) -> list[str]:
    """Resolve *host* with the system's resolver.

    Raises:
        OutboundBlocked: the host cannot be resolved.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise OutboundBlocked(f"The host {host} cannot be resolved.") from error
    return [str(sockaddr[0]) for *_, sockaddr in found]


class OutboundPolicy:
    """The operator's policy for outbound calls: only listed hosts, only public addresses.

    Args:
        resolve: resolver; tests pass their own because they have no internet access.
        public: returns whether an address is public; tests pass their own.
    """

    def __init__(
        self,
        allowed: Sequence[AllowedHost],
        *,
        resolve: Resolve = resolve_host,
        public: Callable[[Address], bool] = is_public,
    ) -> None:
        self._allowed = tuple(allowed)
        self._resolve = resolve
        self._public = public

    def check_url(self, url: str) -> Destination:
        """Parse *url* and check that its host is listed.

        Raises:
            OutboundBlocked: the URL is malformed, ambiguous or not listed.
        """
        destination = _parse_url(url)
        if not any(entry.matches(destination) for entry in self._allowed):
            raise OutboundBlocked(f"{destination.authority} is not on the list of allowed hosts.")
        return destination

    def resolve_public_addresses(self, destination: Destination) -> list[str]:
        """Return the addresses to connect to.

        Raises:
            OutboundBlocked: at least one address of the host is not public.
        """
        addresses = [destination.host]
        if not _is_literal(destination.host):
            addresses = list(dict.fromkeys(self._resolve(destination.host, destination.port)))
        if not addresses or not all(self._public(ip_address(text)) for text in addresses):
            raise OutboundBlocked(f"{destination.host} is not on the public internet.")
        return addresses


def _parse_url(url: str) -> Destination:
    # URL parsers disagree about backslashes and control characters.
    if len(url) > _MAX_URL_LENGTH or re.search(r"[\x00-\x20\x7f\\]", url):
        raise OutboundBlocked(
            "A URL has at most 2048 characters and no spaces, control characters or backslashes."
        )
    parts = _URL.fullmatch(url)
    scheme = parts["scheme"].lower() if parts else ""
    if parts is None or scheme not in _DEFAULT_PORTS:
        raise OutboundBlocked("Only http:// and https:// URLs can be called.")
    authority = _AUTHORITY.fullmatch(parts["authority"])
    if authority is None:
        raise OutboundBlocked(
            "The host must be plain ASCII, without a user name; write an international name "
            "in its xn-- form."
        )
    port = int(authority["port"] or _DEFAULT_PORTS[scheme])
    if not 0 < port < 65_536:
        raise OutboundBlocked("The port must be between 1 and 65535.")
    host = _normalize_host(authority["name"] or f"[{authority['v6']}]")
    target = quote((parts["path"] or "/") + (parts["query"] or ""), safe=_UNESCAPED)
    return Destination(scheme, host, port, target)


def _normalize_host(text: str) -> str:
    """Normalise a host: a name to lower case, an address to its canonical form."""
    text = text.lower()
    if text.startswith("["):
        try:
            return str(IPv6Address(text.strip("[]")))
        except ValueError as error:
            raise OutboundBlocked("The host is not a valid IPv6 address.") from error
    labels = text.removesuffix(".").split(".")
    if _NUMBER.fullmatch(labels[-1]):
        # Some resolvers treat 2130706433, 0x7f.1 and 0177.0.0.1 as addresses, others as names.
        try:
            return str(IPv4Address(".".join(labels)))
        except ValueError as error:
            raise OutboundBlocked("Write an IPv4 address as four decimal numbers.") from error
    if sum(len(label) + 1 for label in labels) > 254 or not all(map(_LABEL.fullmatch, labels)):
        raise OutboundBlocked("The host is not a valid host name.")
    return ".".join(labels)


def _is_literal(host: str) -> bool:
    return ":" in host or host.rpartition(".")[2].isdigit()
