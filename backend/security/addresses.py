"""Client addresses: which address sent a request, and which address its rate limits use."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network


def parse_trusted_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Parse the entries of TRUSTED_PROXIES.

    Raises:
        ValueError: an entry is not an address or network; the message quotes it.
    """
    networks = []
    for text in texts:
        try:
            networks.append(ip_network(text.strip(), strict=False))
        except ValueError as error:
            raise ValueError(
                f"TRUSTED_PROXIES: {text!r} is not an IP address or network. "
                "Example: 10.0.0.0/8,127.0.0.1."
            ) from error
    return tuple(networks)


def client_address(peer: str, forwarded_for: str, trusted: tuple[Network, ...]) -> str:
    """Return the address of the client that sent a request.

    X-Forwarded-For is read from right to left up to the first address that is not a trusted
    proxy: entries further left were written by an untrusted sender. Without trusted proxies the
    result is always *peer*.

    Args:
        peer: address of the TCP peer.
        forwarded_for: value of X-Forwarded-For, or "".
        trusted: networks of the trusted proxies.
    """
    if not trusted or not forwarded_for or not _is_trusted(peer, trusted):
        return peer
    nearest = peer
    for hop in reversed(forwarded_for.split(",")):
        address = _without_port(hop.strip())
        if address is None:
            return nearest
        nearest = address
        if not _is_trusted(address, trusted):
            break
    return nearest


@lru_cache(maxsize=4096)
def rate_limit_address(address: str) -> str:
    """Return *address* as rate limits count it: an IPv6 address as its /64 network.

    A single IPv6 client usually controls a whole /64 network.
    """
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ip_network((parsed, 64), strict=False).network_address) + "/64"
    return address


@lru_cache(maxsize=4096)
def _is_trusted(address: str, trusted: tuple[Network, ...]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in trusted)


def is_trusted(peer: str, trusted: tuple[Network, ...]) -> bool:
    """Return whether *peer* is a trusted proxy, so that its forwarding headers are used."""
    return bool(trusted) and _is_trusted(peer, trusted)


def _without_port(hop: str) -> str | None:
    """Return the address in one element of X-Forwarded-For, or None if it is not an address."""
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    try:
        return str(ip_address(hop))
    except ValueError:
        return None
