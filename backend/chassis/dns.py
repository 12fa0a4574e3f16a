"""Addresses of a host name, refreshed every few seconds.

In containers, one host name has an address for each instance of a service. The addresses change
when instances start and stop.
"""

import ipaddress
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

REFRESH_SECONDS = 3.0
_log = logging.getLogger(__name__)

ResolveFunction = Callable[[str, int], Sequence[str]]


def resolve_host(host: str, port: int) -> tuple[str, ...]:
    """Return the distinct addresses of *host*, of one address family.

    A host with IPv4 and IPv6 addresses is one instance and must not be counted twice, so its IPv6
    addresses are left out.

    Raises:
        OSError: the name does not resolve.
    """
    entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    ipv4 = dict.fromkeys(
        str(address[0]) for family, *_, address in entries if family == socket.AF_INET
    )
    return tuple(ipv4 or dict.fromkeys(str(address[0]) for *_, address in entries))


@dataclass(slots=True)
class _CacheEntry:
    addresses: tuple[str, ...] | None = None
    resolved_at: float = float("-inf")
    is_refreshing: bool = False


class HostResolver:
    """Cache of host addresses, refreshed in the background. Safe to share between threads.

    A name that no longer resolves keeps its last addresses: an outage of the name server must not
    take down the services.
    """

    def __init__(
        self, resolve: ResolveFunction = resolve_host, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._resolve = resolve
        self._clock = clock
        self._entries: dict[tuple[str, int], _CacheEntry] = {}
        self._lock = threading.Lock()

    def get_cached_addresses(self, host: str, port: int) -> tuple[str, ...] | None:
        """Return the cached addresses of *host*, or None if there are none yet. Does not block.

        Starts a refresh in the background if the entry is older than REFRESH_SECONDS.
        """
        if host == "localhost" or _is_ip_address(host):
            return (host,)
        with self._lock:
            entry = self._entries.setdefault((host, port), _CacheEntry())
            is_due = (
                not entry.is_refreshing and self._clock() - entry.resolved_at >= REFRESH_SECONDS
            )
            entry.is_refreshing = entry.is_refreshing or is_due
        if is_due:
            threading.Thread(
                target=self._refresh_entry, args=(host, port, entry), name="dns", daemon=True
            ).start()
        return entry.addresses

    def get_addresses(self, host: str, port: int) -> tuple[str, ...]:
        """Return the addresses of *host*. Blocks for a lookup if none are cached.

        Raises:
            OSError: the name has never resolved.
        """
        addresses = self.get_cached_addresses(host, port)
        if addresses is None:
            addresses = self._entries[host, port].addresses = tuple(self._resolve(host, port))
        return addresses

    def _refresh_entry(self, host: str, port: int, entry: _CacheEntry) -> None:
        try:
            # Sorted, so that another order of the same addresses is not a change.
            addresses = tuple(sorted(self._resolve(host, port)))
        except OSError as error:
            _log.warning("cannot resolve %s: %s", host, error)
        else:
            entry.addresses = addresses or entry.addresses
        finally:
            entry.resolved_at = self._clock()
            entry.is_refreshing = False


def _is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
