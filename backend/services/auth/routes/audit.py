"""Routes of the audit log, and recording of denied requests."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from flask import Blueprint, Flask, Response, g, request
from pydantic import BaseModel, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import responds_with
from backend.chassis.web.paging import PageQuery, Rfc3339Datetime, paginate
from backend.security import (
    Permission,
    Principal,
    authenticated,
    current_principal,
    require_permission,
    validate_query,
)
from backend.services.auth.domain.audit import AuditEntry, AuditFilters, AuditLog
from backend.services.auth.routes.request_origin import get_request_origin

audit = Blueprint("audit", __name__)


class AuditRecordResponse(BaseModel):
    """One audited action: actor, time, client address and outcome."""

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


class AuditRecordPage(BaseModel):
    items: list[AuditRecordResponse]
    next_cursor: str | None


class AuditQuery(PageQuery):
    """Filters of the audit log. `actor` is a user id or username."""

    actor: Annotated[str, Field(min_length=1, max_length=254)] | None = None
    action: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    since: Rfc3339Datetime | None = None
    until: Rfc3339Datetime | None = None


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


def record_denied_requests(app: Flask) -> None:
    """Record every 403 response of *app* to an authenticated caller in the audit log."""

    @app.after_request
    def record_if_denied(response: Response) -> Response:
        caller: Principal | None = g.get("principal")
        if response.status_code == 403 and caller is not None:
            endpoint = f"{request.method} {request.url_rule or ''}"
            reason = (response.get_json(silent=True) or {}).get("code", "forbidden")
            use(AuditLog).record_denied_request(
                caller.user_id, caller.tenant_id, endpoint, reason, get_request_origin()
            )
        return response
