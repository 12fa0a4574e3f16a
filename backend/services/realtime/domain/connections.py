"""Index of the open connections by session, user and tenant, and their limits."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from backend.security import Principal


class Connection(Protocol):
    """An open connection of an authenticated caller."""

    principal: Principal | None

    def end_session(self) -> None:
        """Close the connection, because its session was revoked."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Maximum numbers of open connections."""

    per_user: int = 16
    per_tenant: int = 1000
    per_process: int = 10_000


class TooManyConnections(Exception):
    """The user, the tenant or this process has its maximum number of connections."""


class ConnectionIndex:
    """Open connections of this process, indexed for limits and revocations."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._by_user: dict[str, set[Connection]] = {}
        self._by_session: dict[str, set[Connection]] = {}
        self._tenants: dict[str, int] = {}

    def add(self, connection: Connection, principal: Principal) -> None:
        """Add *connection*.

        Raises:
            TooManyConnections: a limit is reached.
        """
        of_user = self._by_user.get(principal.user_id, ())
        if (
            len(of_user) >= self._limits.per_user
            or self._tenants.get(principal.tenant_id, 0) >= self._limits.per_tenant
        ):
            raise TooManyConnections
        self._by_user.setdefault(principal.user_id, set()).add(connection)
        self._by_session.setdefault(principal.session_id, set()).add(connection)
        self._tenants[principal.tenant_id] = self._tenants.get(principal.tenant_id, 0) + 1

    def remove(self, connection: Connection, principal: Principal) -> None:
        for index, key in (
            (self._by_user, principal.user_id),
            (self._by_session, principal.session_id),
        ):
            connections = index.get(key)
            if connections is not None and connection in connections:
                connections.discard(connection)
                if not connections:
                    del index[key]
        self._tenants[principal.tenant_id] -= 1
        if not self._tenants[principal.tenant_id]:
            del self._tenants[principal.tenant_id]

    def apply_revocation(self, message: str) -> bool:
        """Close the connections that a message of the revocation channel affects.

        Returns False if the message affects any session: all have to be checked again.
        """
        match message.split(" "):
            case ["session", session_id, _]:
                _end(list(self._by_session.get(session_id, ())))
            case ["user", user_id, generation]:
                connections = list(self._by_user.get(user_id, ()))
                _end([c for c in connections if _is_older(c, generation, of_tenant=False)])
            case ["tenant", tenant_id, generation]:
                connections = [c for _, c in self._iter() if _is_of_tenant(c, tenant_id)]
                _end([c for c in connections if _is_older(c, generation, of_tenant=True)])
            case _:
                return False
        return True

    def list_sessions(self) -> list[tuple[Principal, list[Connection]]]:
        """Return the connections by session, each with one of its principals."""
        return [
            (principal, list(connections))
            for connections in self._by_session.values()
            for principal in [next(iter(connections)).principal]
            if principal is not None
        ]

    def _iter(self) -> Iterator[tuple[str, Connection]]:
        for session_id, connections in self._by_session.items():
            for connection in connections:
                yield session_id, connection


def _end(connections: list[Connection]) -> None:
    for connection in connections:
        connection.end_session()


def _is_of_tenant(connection: Connection, tenant_id: str) -> bool:
    return connection.principal is not None and connection.principal.tenant_id == tenant_id


def _is_older(connection: Connection, generation: str, *, of_tenant: bool) -> bool:
    principal = connection.principal
    if principal is None or not generation.isdecimal():
        return False
    claims = principal.session_claims
    known = claims.tenant_generation if of_tenant else claims.user_generation
    return known < int(generation)
