"""What is written into the audit trail, and from where a request came."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from backend.chassis.database.sessions import Database, Session
from backend.security import Permission, Principal
from backend.services.auth.domain.usernames import name_key
from backend.services.auth.store import accounts
from backend.services.auth.store import audit as store

_MAX_TARGET = 128
# Who works at the command line is nobody's account.
OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from."""

    address: str
    user_agent: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Record:
    """What the trail says of one deed."""

    id: int
    at: datetime
    actor_id: str | None
    actor: str | None
    tenant_id: str | None
    action: str
    outcome: str
    target: str | None
    address: str
    request_id: str
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Filters:
    """Which deeds somebody asks for; *actor* is a user's id or name."""

    actor: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Trail:
    """The audit trail, to read, and to write down who was turned away."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def seen_by(
        self, caller: Principal, filters: Filters, before_id: int | None, count: int
    ) -> Sequence[Record]:
        """All deeds for who sees everything, else those in the tenant at hand."""
        everywhere = Permission.SYSTEM_READ in caller.permissions
        actor_id = None
        if filters.actor is not None:
            with self._database.read() as session:
                actor = accounts.find_by_username(session, name_key(filters.actor))
                actor_id = actor.id if actor else filters.actor
        wanted = store.Wanted(
            tenant_id=None if everywhere else caller.tenant_id,
            actor_id=actor_id,
            action=filters.action,
            since=filters.since,
            until=filters.until,
        )
        return self._read(wanted, before_id, count)

    def _read(self, wanted: store.Wanted, before_id: int | None, count: int) -> Sequence[Record]:
        with self._database.read() as session:
            rows = store.find(session, wanted, before_id, count)
            names = accounts.names(session, {row.actor_id for row in rows if row.actor_id})
            names[OPERATOR] = OPERATOR
            return [
                Record(
                    id=row.id,
                    at=row.at,
                    actor_id=row.actor_id,
                    actor=names.get(row.actor_id or ""),
                    tenant_id=row.tenant_id,
                    action=row.action,
                    outcome=row.outcome,
                    target=row.target,
                    address=row.address,
                    request_id=row.request_id,
                    details=row.details,
                )
                for row in rows
            ]

    def activity(self, user_id: str, before_id: int | None, count: int) -> Sequence[Record]:
        """What *user_id* did, and what was done to their account."""
        return self._read(store.Wanted(concerned_id=user_id), before_id, count)

    def turned_away(
        self, user_id: str, tenant_id: str, door: str, reason: str, origin: Origin
    ) -> None:
        """Note that *user_id* was refused at *door*."""
        with self._database.write() as session:
            note(
                session,
                self._now(),
                origin,
                "access.denied",
                reason,
                actor_id=user_id,
                tenant_id=tenant_id,
                target=door,
            )


INSIDE = Origin(address="", user_agent="", request_id="")


def note(
    session: Session,
    now: datetime,
    origin: Origin,
    action: str,
    outcome: str = "success",
    *,
    actor_id: str | None = None,
    tenant_id: str | None = None,
    target: str | None = None,
    **details: Any,
) -> None:
    """Write down that *actor_id* did *action*; in the transaction in which it was done."""
    store.add(
        session,
        store.AuditRecord(
            at=now,
            actor_id=actor_id,
            tenant_id=tenant_id or None,
            action=action,
            outcome=outcome,
            target=target[:_MAX_TARGET] if target else None,
            address=origin.address,
            request_id=origin.request_id,
            details=details,
        ),
    )
