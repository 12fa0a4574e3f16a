"""Which addresses we may be talked into calling.

A URL that a model, a document or a user names is a wish. `Outbound.destination` reads it with
one strict parser and asks the operator's list; `Outbound.addresses` resolves its host once and
refuses it if any of its addresses is not a public one. Whoever calls then connects to these
addresses and resolves no more, so that a name cannot change its mind in between.
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

_LONGEST_URL: Final = 2_048
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
# What a path and a query may hold as it is; all else is percent-encoded.
_KEPT: Final = "/?%:@!$&'()*+,;=-._~[]|"

# The IANA registries of special-purpose addresses, without those that are globally reachable,
# and the addresses at which clouds tell their machines secrets.
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
# Only this block is given out; IPv4-mapped, NAT64, unique local and link-local lie outside of it.
_PUBLIC_V6: Final = ip_network("2000::/3")
# Teredo and other protocols, documentation, 6to4: what tunnels lead to cannot be seen from here.
_NOT_PUBLIC_V6: Final = tuple(
    map(ip_network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
)
_ISATAP: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})


class OutboundRefused(Exception):
    """The address is not to be called; the message says why, for whoever asked for it."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a request goes: `host` in lower case and without brackets, `target` path and query."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """The host as the Host header names it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


@dataclass(frozen=True, slots=True)
class AllowedHost:
    """One entry of the operator's list: `host`, `*.domain` or `*`, with a port or without."""

    pattern: str
    port: int | None

    @classmethod
    def parsed(cls, text: str) -> "AllowedHost":
        """The entry that *text* writes; ValueError if it is none."""
        pattern, separator, port = text.strip().lower().rpartition(":")
        if not separator or port.endswith("]"):  # without a port, or the colons of an address
            pattern, port = text.strip().lower(), ""
        elif not (port.isascii() and port.isdigit()):
            raise ValueError(f"{text!r} has no port behind its colon.")
        if pattern != "*":
            prefix = "*." if pattern.startswith("*.") else ""
            try:
                pattern = prefix + _host(pattern.removeprefix("*."))
            except OutboundRefused as error:
                raise ValueError(f"{text!r} is no host: {error}") from error
        return cls(pattern, int(port) if port else None)

    def covers(self, destination: Destination) -> bool:
        port = _DEFAULT_PORTS[destination.scheme] if self.port is None else self.port
        if destination.port != port:
            return False
        if self.pattern.startswith("*."):
            return destination.host.endswith(self.pattern[1:])
        return self.pattern in {"*", destination.host}


def is_public(address: Address) -> bool:
    """Whether *address* is anybody's on the internet, and not ours, a neighbour's or a tunnel's."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    interface = int(address) >> 32 & 0xFFFF_FFFF
    return (
        address in _PUBLIC_V6
        and interface not in _ISATAP
        and not any(address in network for network in _NOT_PUBLIC_V6)
    )


def resolved(host: str, port: int) -> list[str]:
    """The addresses of *host*, as this machine's resolver knows them."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise OutboundRefused(f"The host {host} is not known.") from error
    return [str(sockaddr[0]) for *_, sockaddr in found]


class Outbound:
    """The operator's rule on what may be called: these hosts, at public addresses.

    *resolve* and *public* are handed in by tests, which cannot call the internet.
    """

    def __init__(
        self,
        allowed: Sequence[AllowedHost],
        *,
        resolve: Resolve = resolved,
        public: Callable[[Address], bool] = is_public,
    ) -> None:
        self._allowed = tuple(allowed)
        self._resolve = resolve
        self._public = public

    def destination(self, url: str) -> Destination:
        """What *url* names, if it is written plainly and the list covers it."""
        wanted = _parsed(url)
        if not any(entry.covers(wanted) for entry in self._allowed):
            raise OutboundRefused(f"{wanted.authority} is not on the list of hosts to be called.")
        return wanted

    def addresses(self, destination: Destination) -> list[str]:
        """Where to connect; refused as a whole if one of the host's addresses is not public."""
        found = [destination.host]
        if not _is_literal(destination.host):
            found = list(dict.fromkeys(self._resolve(destination.host, destination.port)))
        if not found or not all(self._public(ip_address(each)) for each in found):
            raise OutboundRefused(f"{destination.host} does not lie on the public internet.")
        return found


def _parsed(url: str) -> Destination:
    # A backslash or a control character means one thing here and another elsewhere.
    if len(url) > _LONGEST_URL or re.search(r"[\x00-\x20\x7f\\]", url):
        raise OutboundRefused("A URL is at most 2048 characters, without blanks or backslashes.")
    parts = _URL.fullmatch(url)
    scheme = parts["scheme"].lower() if parts else ""
    if parts is None or scheme not in _DEFAULT_PORTS:
        raise OutboundRefused("Only http:// and https:// URLs can be called.")
    authority = _AUTHORITY.fullmatch(parts["authority"])
    if authority is None:
        raise OutboundRefused(
            "The host must be plain ASCII, without a user name; write an international name "
            "in its xn-- form."
        )
    port = int(authority["port"] or _DEFAULT_PORTS[scheme])
    if not 0 < port < 65_536:
        raise OutboundRefused("There is no such port.")
    host = _host(authority["name"] or f"[{authority['v6']}]")
    target = quote((parts["path"] or "/") + (parts["query"] or ""), safe=_KEPT)
    return Destination(scheme, host, port, target)


def _host(text: str) -> str:
    """*text* as a host is compared: a name in lower case, or an address as it is always written."""
    text = text.lower()
    if text.startswith("["):
        try:
            return str(IPv6Address(text.strip("[]")))
        except ValueError as error:
            raise OutboundRefused("The host is no IPv6 address.") from error
    labels = text.removesuffix(".").split(".")
    if _NUMBER.fullmatch(labels[-1]):
        # 2130706433, 0x7f.1 and 0177.0.0.1 are addresses to some resolvers and names to others.
        try:
            return str(IPv4Address(".".join(labels)))
        except ValueError as error:
            raise OutboundRefused("Write an address as four decimal numbers.") from error
    if sum(len(label) + 1 for label in labels) > 254 or not all(map(_LABEL.fullmatch, labels)):
        raise OutboundRefused("The host is no host name.")
    return ".".join(labels)


def _is_literal(host: str) -> bool:
    return ":" in host or host.rpartition(".")[2].isdigit()
