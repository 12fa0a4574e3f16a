"""Routes of the audit log, and delivery of audit events by other services."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from flask import Blueprint
from pydantic import AwareDatetime, BaseModel, Field, JsonValue

from backend.chassis.messaging.audit_events import (
    ACTION_PATTERN,
    DELIVERY_PATH,
    MAX_EVENTS_PER_REQUEST,
    MAX_TARGET_CHARACTERS,
    AuditEvent,
    RequestOrigin,
)
from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import request_example, responds_with
from backend.chassis.web.paging import PageQuery, Rfc3339Datetime, paginate
from backend.security import (
    FiniteNumbers,
    Input,
    Permission,
    authenticated,
    current_principal,
    internal_only,
    require_permission,
    validate_input,
    validate_query,
)
from backend.security.authentication import calling_service
from backend.services.auth.domain.audit import (
    AuditEntry,
    AuditFilters,
    AuditLog,
    DeliveredEvent,
)

audit = Blueprint("audit", __name__)


class AuditRecordResponse(BaseModel):
    """One audited action: actor, time, client address and outcome.

    Equal events within some minutes share a record: `count` is their number, `last_at` the time of
    the last one.
    """

    id: str
    at: datetime
    actor_id: str | None
    actor: str | None
    tenant_id: str | None
    action: str
    outcome: str
    target: str | None
    address: str
    request_id: str
    details: dict[str, Any]
    count: int
    last_at: datetime | None


class AuditRecordPage(BaseModel):
    items: list[AuditRecordResponse]
    next_cursor: str | None


class AuditQuery(PageQuery):
    """Filters of the audit log. `actor` is a user id or username."""

    actor: Annotated[str, Field(min_length=1, max_length=254)] | None = None
    action: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    since: Rfc3339Datetime | None = None
    until: Rfc3339Datetime | None = None


class AuditEventInput(Input):
    """An audit event of another service, or `count` equal ones between `time` and `last_at`."""

    id: Annotated[str, Field(pattern=r"^[0-9a-f-]{36}$")]
    time: AwareDatetime
    action: Annotated[str, Field(pattern=ACTION_PATTERN)]
    outcome: Annotated[str, Field(min_length=1, max_length=64)]
    actor_id: Annotated[str, Field(min_length=1, max_length=32)]
    tenant_id: Annotated[str, Field(min_length=1, max_length=32)] | None
    target: Annotated[str, Field(min_length=1, max_length=MAX_TARGET_CHARACTERS)] | None
    address: Annotated[str, Field(max_length=64)]
    request_id: Annotated[str, Field(max_length=128)]
    details: Annotated[dict[str, JsonValue], Field(max_length=20), FiniteNumbers]
    count: Annotated[int, Field(ge=1, le=1_000_000_000)] = 1
    last_at: AwareDatetime | None = None

    def to_event(self) -> DeliveredEvent:
        return DeliveredEvent(
            self.id,
            self.time,
            AuditEvent(
                self.action,
                self.actor_id,
                self.tenant_id,
                RequestOrigin(self.address, self.request_id),
                outcome=self.outcome,
                target=self.target,
                details=self.details,
                count=self.count,
                last_at=self.last_at,
            ),
        )


class AuditEventBatch(Input):
    """Audit events of one service, oldest first."""

    events: Annotated[list[AuditEventInput], Field(min_length=1, max_length=MAX_EVENTS_PER_REQUEST)]


@audit.get("/audit")
@require_permission(Permission.AUDIT_READ)
@validate_query(AuditQuery)
@responds_with(AuditRecordPage)
def list_audit_records(query: AuditQuery) -> AuditRecordPage:
    """List audit records, newest first.

    Callers with `system:read` see the records of all tenants, others those of the selected
    tenant.
    """
    records = use(AuditLog).list_records(
        current_principal(),
        AuditFilters(query.actor, query.action, query.since, query.until),
        _parse_cursor(query),
        query.limit + 1,
    )
    return _to_page(records, query)


@audit.get("/me/activity")
@authenticated
@validate_query(PageQuery)
@responds_with(AuditRecordPage)
def list_own_activity(page: PageQuery) -> AuditRecordPage:
    """List actions by the caller and on the caller's account, newest first."""
    return load_own_activity(page)


def load_own_activity(page: PageQuery) -> AuditRecordPage:
    """Return a page of the actions by the caller and on the caller's account."""
    user_id = current_principal().user_id
    records = use(AuditLog).list_user_activity(user_id, _parse_cursor(page), page.limit + 1)
    page_response = _to_page(records, page)
    # Hide the addresses of other users that acted on the account.
    for record in page_response.items:
        if record.actor_id not in (None, user_id):
            record.address = ""
    return page_response


def _to_page(results: Sequence[AuditEntry], page: PageQuery) -> AuditRecordPage:
    entries, cursor = paginate(results, page.limit, lambda entry: (str(entry.id),))
    items = [AuditRecordResponse(**asdict(entry) | {"id": str(entry.id)}) for entry in entries]
    return AuditRecordPage(items=items, next_cursor=cursor)


def _parse_cursor(page: PageQuery) -> int | None:
    """Return the record id in the cursor, or None for the first page."""
    key = page.decode_cursor()
    if key is None:
        return None
    return int(key[0])


@audit.post(DELIVERY_PATH)
@internal_only
@validate_input(AuditEventBatch)
@responds_with(None, 204)
@request_example(
    {
        "events": [
            {
                "id": "6f1c1f2e-8f0b-4a53-9c39-0d6a3f0f4a11",
                "time": "2030-01-31T12:00:00Z",
                "action": "document.delete",
                "outcome": "success",
                "actor_id": "7d444840a1b24ad092c4a1f8a9f7c0de",
                "tenant_id": "1b9d6bcdbbfd4b2d9b5dab8dfbbd4bed",
                "target": "doc_018d5b1e6f2a4c9b",
                "address": "192.0.2.1",
                "request_id": "req-1",
                "details": {"filename": "report.pdf"},
            }
        ]
    }
)
def add_audit_events(body: AuditEventBatch) -> None:
    """Add audit events of another service. Events that were added before are ignored."""
    store_audit_events(body)


def store_audit_events(body: AuditEventBatch) -> None:
    """Add the audit events of the calling service."""
    service = calling_service() or ""
    use(AuditLog).record_delivered_events(service, [event.to_event() for event in body.events])
