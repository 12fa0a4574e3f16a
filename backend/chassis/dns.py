"""Where a service's instances are: a host's addresses, asked for again every few seconds.

In containers a service is one name with an address for each of its instances, which come and go.
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

Resolve = Callable[[str, int], Sequence[str]]


def resolve(host: str, port: int) -> tuple[str, ...]:
    """The addresses of *host*, each once; OSError where there are none.

    Of one family: a host that has both is one host, and would be counted twice.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    by_four = dict.fromkeys(
        str(place[0]) for family, *_, place in found if family == socket.AF_INET
    )
    return tuple(by_four or dict.fromkeys(str(place[0]) for *_, place in found))


@dataclass(slots=True)
class _Known:
    addresses: tuple[str, ...] | None = None
    asked_at: float = float("-inf")
    asking: bool = False


class Names:
    """Remembers addresses, and asks anew beside the work. Safe to share between threads.

    A name that can't be resolved any more keeps the addresses it had: an outage of the name
    server is none of the services.
    """

    def __init__(
        self, resolve: Resolve = resolve, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._resolve = resolve
        self._clock = clock
        self._known: dict[tuple[str, int], _Known] = {}
        self._lock = threading.Lock()

    def known(self, host: str, port: int) -> tuple[str, ...] | None:
        """The addresses of *host*, as far as they are known; never waits."""
        if host == "localhost" or _is_address(host):
            return (host,)
        with self._lock:
            entry = self._known.setdefault((host, port), _Known())
            due = not entry.asking and self._clock() - entry.asked_at >= REFRESH_SECONDS
            entry.asking = entry.asking or due
        if due:
            threading.Thread(
                target=self._ask, args=(host, port, entry), name="names", daemon=True
            ).start()
        return entry.addresses

    def find(self, host: str, port: int) -> tuple[str, ...]:
        """The addresses of *host*; waits where none are known yet. OSError if there are none."""
        found = self.known(host, port)
        if found is None:
            found = self._known[host, port].addresses = tuple(self._resolve(host, port))
        return found

    def _ask(self, host: str, port: int, entry: _Known) -> None:
        try:
            # In order, so that the same addresses in another order are no news.
            found = tuple(sorted(self._resolve(host, port)))
        except OSError as error:
            _log.warning("%s has no address: %s", host, error)
        else:
            entry.addresses = found or entry.addresses
        finally:
            entry.asked_at = self._clock()
            entry.asking = False


def _is_address(host: str) -> bool:
    """Whether *host* is an address already."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
