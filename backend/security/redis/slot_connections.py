"""Connections to the single server, or in a cluster to the master of the suite's slot.

A cluster is detected by its reply to CLUSTER SLOTS. The first node that responds lists the
others, so that a configured node that is down does not prevent a connection. A connection whose
node reports that the slot has moved, or that it is a replica, closes; the next attempt searches
for the master again.
"""

import time
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Final

from redis import __version__ as redis_version
from redis.backoff import NoBackoff
from redis.connection import Connection as PlainConnection
from redis.connection import ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.crc import key_slot
from redis.driver_info import DriverInfo
from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterDownError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import TimeoutError as TookTooLong
from redis.retry import Retry

from backend.security.redis.address import Node, RedisAddress
from backend.security.redis.keys import HASH_TAG

SLOT: Final = key_slot(HASH_TAG.encode())
# Otherwise each connection reads the version from the metadata of the installed package.
DRIVER: Final = DriverInfo(lib_version=redis_version)
# Time limit for the search over all nodes together.
_SEARCH_SECONDS: Final = 0.4


class ClusterNodes:
    """Known nodes of a cluster and the last known master of the slot. Shared by a pool."""

    def __init__(self, configured: Sequence[Node]) -> None:
        self._configured = tuple(configured)
        self._discovered: tuple[Node, ...] = ()
        self._slot_master: Node | None = None
        self.is_single_server = False

    def candidate_nodes(self) -> Iterator[Node]:
        """Yield each node to try once. A slot master that becomes known meanwhile comes next."""
        tried: set[Node] = set()
        while True:
            first = () if self._slot_master is None else (self._slot_master,)
            for node in chain(first, self._configured, self._discovered):
                if node not in tried:
                    tried.add(node)
                    yield node
                    break
            else:
                return

    def update_from_slots(self, slots: Sequence[Any], source: Node) -> bool:
        """Store the reply of CLUSTER SLOTS and return whether *source* is the slot master."""
        discovered: list[Node] = []
        for first, last, *nodes in slots:
            # A node that does not know its own host name leaves it empty.
            addresses = [(_host_name(node[0]) or source[0], int(node[1])) for node in nodes]
            discovered += addresses
            if first <= SLOT <= last:
                self._slot_master = addresses[0]
        self._discovered = tuple(dict.fromkeys(discovered))
        return self._slot_master == source

    def mark_unavailable(self, node: Node) -> None:
        """Record that *node* does not respond or is not the slot master any more."""
        if self._slot_master == node:
            self._slot_master = None
        self.is_single_server = False


def _host_name(value: Any) -> str:
    name = value.decode() if isinstance(value, bytes) else str(value or "")
    return "" if name == "?" else name


class _KeysMoved(NotConnected):
    """Another node is the slot master."""


class _SlotConnection(PlainConnection):
    """A connection that connects to the master of the suite's slot."""

    def __init__(self, *, nodes: ClusterNodes, **options: Any) -> None:
        self._nodes = nodes
        super().__init__(**options)  # type: ignore[no-untyped-call]

    def connect_check_health(
        self, check_health: bool = True, retry_socket_connect: bool = True
    ) -> None:
        if self.is_connected:
            return
        deadline = time.monotonic() + _SEARCH_SECONDS
        last_error: Exception | None = None
        for node in self._nodes.candidate_nodes():
            self.host, self.port = node
            try:
                super().connect_check_health(check_health, retry_socket_connect)
            except _KeysMoved:
                continue
            except AuthenticationError:
                raise
            except (NotConnected, TookTooLong) as error:
                self._nodes.mark_unavailable(node)
                last_error = error
                if time.monotonic() > deadline:
                    break
            else:
                return
        raise last_error or NotConnected("no node of the cluster names the master of the slot")

    def on_connect_check_health(self, check_health: bool = True) -> None:
        super().on_connect_check_health(check_health)
        if self._nodes.is_single_server:
            return
        self.send_command("CLUSTER", "SLOTS", check_health=False)  # type: ignore[no-untyped-call]
        try:
            slots = super().read_response()
        except ResponseError as error:
            # Not in cluster mode, or CLUSTER is not allowed: use it as a single server.
            self._nodes.is_single_server = "cluster support disabled" in str(error)
            return
        if not self._nodes.update_from_slots(slots, (self.host, self.port)):
            raise _KeysMoved

    def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return super().read_response(*args, **options)
        except (AskError, ClusterDownError, ReadOnlyError) as error:
            self._nodes.mark_unavailable((self.host, self.port))
            self.disconnect()  # type: ignore[no-untyped-call]
            raise NotConnected(f"the slot has moved: {error}") from error


class _TlsSlotConnection(_SlotConnection, SSLConnection):
    """A slot connection over TLS."""


def open_pool(address: RedisAddress, **options: Any) -> ConnectionPool:
    """Return a pool of connections to *address*; extra arguments are passed to redis-py."""
    options |= address.credentials() | {"driver_info": DRIVER}
    if address.socket is not None:
        return ConnectionPool(
            connection_class=UnixDomainSocketConnection, path=address.socket, **options
        )
    connection_class, tls = _connection_class(address)
    return ConnectionPool(
        connection_class=connection_class, nodes=ClusterNodes(address.nodes), **options, **tls
    )


def find_slot_master(address: RedisAddress, nodes: ClusterNodes, timeout_seconds: float) -> Node:
    """Return the master of the slot, for connections opened without redis-py.

    Raises:
        RedisError: no node responds within *timeout_seconds*.
    """
    connection_class, tls = _connection_class(address)
    options: dict[str, Any] = address.credentials() | tls | {"driver_info": DRIVER}
    connection = connection_class(
        nodes=nodes,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 0),
        **options,
    )
    try:
        connection.connect()  # type: ignore[no-untyped-call]
        return connection.host, connection.port
    finally:
        connection.disconnect()  # type: ignore[no-untyped-call]


def _connection_class(address: RedisAddress) -> tuple[type[_SlotConnection], dict[str, Any]]:
    if address.tls is None:
        return _SlotConnection, {}
    return _TlsSlotConnection, dict(address.tls)
