"""What is written into the audit trail, and from where a request came."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from backend.chassis.database import Database, Session
from backend.services.auth.store import audit as store

_MAX_TARGET = 128


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
    tenant_id: str | None
    action: str
    outcome: str
    target: str | None
    address: str
    request_id: str
    details: Mapping[str, Any]


class Trail:
    """The audit trail, to read, and to write down who was turned away."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def read(self, wanted: store.Wanted, before_id: int | None, count: int) -> Sequence[Record]:
        """The newest first, from before *before_id*."""
        with self._database.read() as session:
            return [
                Record(
                    id=row.id,
                    at=row.at,
                    actor_id=row.actor_id,
                    tenant_id=row.tenant_id,
                    action=row.action,
                    outcome=row.outcome,
                    target=row.target,
                    address=row.address,
                    request_id=row.request_id,
                    details=row.details,
                )
                for row in store.find(session, wanted, before_id, count)
            ]

    def activity(self, user_id: str, before_id: int | None, count: int) -> Sequence[Record]:
        """What *user_id* did, and what was done to their account."""
        return self.read(store.Wanted(concerned_id=user_id), before_id, count)

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
            tenant_id=tenant_id,
            action=action,
            outcome=outcome,
            target=target[:_MAX_TARGET] if target else None,
            address=origin.address,
            request_id=origin.request_id,
            details=details,
        ),
    )
