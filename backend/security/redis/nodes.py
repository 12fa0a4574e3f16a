"""Connections to whoever holds our keys: the one server, or of a cluster the master of their slot.

A cluster is recognised by its answer. Its members are learnt from whichever is reached first,
so that one that is named and dead does not keep us from the others. A connection that hears
that the keys have moved, or that it has been speaking to a replica, hangs up and looks anew.
"""

import time
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Final

from redis.backoff import NoBackoff
from redis.connection import Connection as PlainConnection
from redis.connection import ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.crc import key_slot
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

from backend.security.redis.keys import TAG
from backend.security.redis.urls import Node, RedisPlace

SLOT: Final = key_slot(TAG.encode())
# For all members together, however many of them are silent.
_SEARCH_SECONDS: Final = 0.4


class Nodes:
    """The members that are known, the last holder of our keys first."""

    def __init__(self, named: Sequence[Node]) -> None:
        self._named = tuple(named)
        self._learnt: tuple[Node, ...] = ()
        self._holder: Node | None = None
        self.alone = False

    def candidates(self) -> Iterator[Node]:
        """Whom to try, each once; whoever is found out meanwhile to be the holder comes next."""
        tried: set[Node] = set()
        while True:
            first = () if self._holder is None else (self._holder,)
            for node in chain(first, self._named, self._learnt):
                if node not in tried:
                    tried.add(node)
                    yield node
                    break
            else:
                return

    def learn(self, slots: Sequence[Any], asked: Node) -> bool:
        """Take in what CLUSTER SLOTS answered; whether *asked* itself holds our keys."""
        members: list[Node] = []
        for first, last, *nodes in slots:
            # A member that does not know its own name leaves it out.
            reached = [(_text(each[0]) or asked[0], int(each[1])) for each in nodes]
            members += reached
            if first <= SLOT <= last:
                self._holder = reached[0]
        self._learnt = tuple(dict.fromkeys(members))
        return self._holder == asked

    def lose(self, node: Node) -> None:
        """*node* does not answer, or is not the holder any more."""
        if self._holder == node:
            self._holder = None
        self.alone = False


def _text(value: Any) -> str:
    name = value.decode() if isinstance(value, bytes) else str(value or "")
    return "" if name == "?" else name


class _Elsewhere(NotConnected):
    """Another member holds our keys."""


class _Following(PlainConnection):
    """A connection that goes where our keys are."""

    def __init__(self, *, nodes: Nodes, **how: Any) -> None:
        self._nodes = nodes
        super().__init__(**how)  # type: ignore[no-untyped-call]

    def connect_check_health(
        self, check_health: bool = True, retry_socket_connect: bool = True
    ) -> None:
        if self.is_connected:
            return
        deadline = time.monotonic() + _SEARCH_SECONDS
        trouble: Exception | None = None
        for node in self._nodes.candidates():
            self.host, self.port = node
            try:
                super().connect_check_health(check_health, retry_socket_connect)
            except _Elsewhere:
                continue
            except AuthenticationError:
                raise
            except (NotConnected, TookTooLong) as error:
                self._nodes.lose(node)
                trouble = error
                if time.monotonic() > deadline:
                    break
            else:
                return
        raise trouble or NotConnected("no member of the cluster says who holds our keys")

    def on_connect_check_health(self, check_health: bool = True) -> None:
        super().on_connect_check_health(check_health)
        if self._nodes.alone:
            return
        self.send_command("CLUSTER", "SLOTS", check_health=False)  # type: ignore[no-untyped-call]
        try:
            slots = super().read_response()
        except ResponseError as error:
            # Not a cluster, or one that is none of our business: an ordinary server.
            self._nodes.alone = "cluster support disabled" in str(error)
            return
        if not self._nodes.learn(slots, (self.host, self.port)):
            raise _Elsewhere

    def read_response(self, *args: Any, **how: Any) -> Any:
        try:
            return super().read_response(*args, **how)
        except (AskError, ClusterDownError, ReadOnlyError) as error:
            self._nodes.lose((self.host, self.port))
            self.disconnect()  # type: ignore[no-untyped-call]
            raise NotConnected(f"the keys are elsewhere: {error}") from error


class _FollowingTls(_Following, SSLConnection):
    """The same, over TLS."""


def open_pool(place: RedisPlace, **how: Any) -> ConnectionPool:
    """Connections to *place*, made when they are needed."""
    how |= place.login()
    if place.socket is not None:
        return ConnectionPool(connection_class=UnixDomainSocketConnection, path=place.socket, **how)
    kind, own = _kind(place)
    return ConnectionPool(connection_class=kind, nodes=Nodes(place.nodes), **how, **own)


def find_holder(place: RedisPlace, nodes: Nodes, patience: float) -> Node:
    """Where our keys are, for who connects by hand; RedisError if nobody says so in time."""
    kind, own = _kind(place)
    how: dict[str, Any] = place.login() | own
    connection = kind(
        nodes=nodes,
        socket_timeout=patience,
        socket_connect_timeout=patience,
        retry=Retry(NoBackoff(), 0),
        **how,
    )
    try:
        connection.connect()  # type: ignore[no-untyped-call]
        return connection.host, connection.port
    finally:
        connection.disconnect()  # type: ignore[no-untyped-call]


def _kind(place: RedisPlace) -> tuple[type[_Following], dict[str, Any]]:
    if place.tls is None:
        return _Following, {}
    return _FollowingTls, dict(place.tls)
