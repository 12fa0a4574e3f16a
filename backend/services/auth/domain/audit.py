"""What is written into the audit trail, and from where a request came."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from backend.chassis.database import Session
from backend.services.auth.store import audit as store

_MAX_TARGET = 128


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from."""

    address: str
    user_agent: str
    request_id: str


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
