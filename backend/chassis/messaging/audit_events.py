"""Audit events: recorded by every service, stored by auth in the audit log."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import uuid4

from backend.chassis.http import ServiceClient, UpstreamProblem
from backend.chassis.messaging.events import EventsRejected, OutboxEvent

ACTION_PATTERN = r"^[a-z_]{1,30}\.[a-z_-]{1,30}$"
MAX_TARGET_CHARACTERS = 128
MAX_EVENTS_PER_REQUEST = 100
DELIVERY_PATH = "/internal/audit-events"
_MAX_NAME_CHARACTERS = 64
_TYPE = "audit-recorded"
# The request is invalid: a repeated request would get the same response.
_REJECTED = frozenset({400, 413, 422})


@dataclass(frozen=True, slots=True)
class RequestOrigin:
    """Client address and id of a request, both "" for work without a request."""

    address: str = ""
    request_id: str = ""


NO_REQUEST = RequestOrigin()


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """An audited action.

    Raises:
        ValueError: *action* does not match `ACTION_PATTERN`, so auth would reject the event.

    Attributes:
        action: object and verb, such as `document.delete`.
        outcome: `success` or an error code.
        actor_id: user that acted.
        tenant_id: tenant in which they acted, None if it is unknown.
        target: id or name of the affected object.
        details: further facts; never secrets.
        count: number of equal events that this one stands for.
        first_at: time of the first one; None is the time at which it is recorded.
        last_at: time of the last one; None if *count* is 1.
    """

    action: str
    actor_id: str
    tenant_id: str | None
    origin: RequestOrigin
    outcome: str = "success"
    target: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    count: int = 1
    first_at: datetime | None = None
    last_at: datetime | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(ACTION_PATTERN, self.action):
            raise ValueError(f"{self.action!r} is not a valid name of an audited action")


class AuditRecorder(Protocol):
    """Records audit events that are not part of another transaction."""

    def record_event(self, event: AuditEvent) -> None:
        """Store *event*."""


def to_outbox_event(service: str, event: AuditEvent, now: datetime) -> OutboxEvent:
    """Return *event* of *service* as it is delivered, with an id of its own."""
    merged = {"count": event.count, "last_at": event.last_at and format_time(event.last_at)}
    return OutboxEvent(
        id=str(uuid4()),
        type=f"{service}.{_TYPE}",
        subject=(event.target or "")[:MAX_TARGET_CHARACTERS],
        key=event.actor_id,
        tenant_id=event.tenant_id or "",
        time=event.first_at or now,
        data={
            "action": event.action,
            "outcome": event.outcome[:_MAX_NAME_CHARACTERS],
            "actor_id": event.actor_id,
            "address": event.origin.address[:_MAX_NAME_CHARACTERS],
            "request_id": event.origin.request_id,
            "details": dict(event.details),
            **(merged if event.count > 1 else {}),
        },
    )


class AuditPublisher:
    """Delivers audit events to auth's audit log, which ignores repeated ids."""

    def __init__(self, auth: ServiceClient) -> None:
        self._auth = auth

    def publish_events(self, events: Sequence[OutboxEvent]) -> None:
        """Send *events* in one request. Raises EventsRejected."""
        body = {"events": [_to_json(event) for event in events]}
        try:
            self._auth.post(DELIVERY_PATH, body, {})
        except UpstreamProblem as problem:
            if problem.status not in _REJECTED:
                raise
            raise EventsRejected(str(problem)) from problem


def _to_json(event: OutboxEvent) -> dict[str, Any]:
    return {
        "id": event.id,
        "time": format_time(event.time),
        "tenant_id": event.tenant_id or None,
        "target": event.subject or None,
        **event.data,
    }


def format_time(time: datetime) -> str:
    """Return *time*, which is in UTC, in the format of RFC 3339."""
    return time.isoformat().replace("+00:00", "Z")
