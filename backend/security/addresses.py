"""Which address a request came from, and under which one it is counted."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network


def trusted_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """TRUSTED_PROXIES as networks; ValueError names the entry that is none."""
    networks = []
    for text in texts:
        try:
            networks.append(ip_network(text.strip(), strict=False))
        except ValueError as error:
            raise ValueError(
                f"TRUSTED_PROXIES: {text!r} is no address and no network. "
                "Write for example 10.0.0.0/8,127.0.0.1."
            ) from error
    return tuple(networks)


def client_address(peer: str, forwarded_for: str, trusted: tuple[Network, ...]) -> str:
    """The nearest address that is not one of our own proxies.

    Walked from the right: what stands further left was written by somebody we have no
    reason to believe. Without trusted proxies that is always the peer.
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
def counted_as(address: str) -> str:
    """The address under which limits count: an IPv6 caller owns a whole /64."""
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
    """Whether *peer* is a proxy of ours, whose word about the caller is taken."""
    return bool(trusted) and _is_trusted(peer, trusted)


def _without_port(hop: str) -> str | None:
    """The address in one element of X-Forwarded-For, or None where there is none."""
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    try:
        return str(ip_address(hop))
    except ValueError:
        return None
