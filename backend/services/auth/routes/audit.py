"""The audit trail: one's own part of it, and who was turned away."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from flask import Blueprint, Flask, Response, g, request
from pydantic import BaseModel, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import answers
from backend.chassis.web.paging import Moment, PageQuery, cut_page
from backend.security import (
    Permission,
    Principal,
    authenticated,
    current_principal,
    invalid_field,
    require_permission,
    validate_query,
)
from backend.services.auth.domain.audit import Filters, Record, Trail
from backend.services.auth.routes.origin import origin

audit = Blueprint("audit", __name__)
_MAX_ID = 2**63 - 1


class Deed(BaseModel):
    """Who did what, when, from where, with what outcome."""

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


class DeedPage(BaseModel):
    items: list[Deed]
    next_cursor: str | None


class AuditQuery(PageQuery):
    """Which deeds; `actor` is a user's id or name."""

    actor: Annotated[str, Field(min_length=1, max_length=254)] | None = None
    action: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    since: Moment | None = None
    until: Moment | None = None


@audit.get("/audit")
@require_permission(Permission.AUDIT_READ)
@validate_query(AuditQuery)
@answers(DeedPage)
def read(query: AuditQuery) -> DeedPage:
    """What was done everywhere, for an admin, else in the tenant at hand; the newest first."""
    found = use(Trail).seen_by(
        current_principal(),
        Filters(query.actor, query.action, query.since, query.until),
        before(query),
        query.limit + 1,
    )
    return deeds(found, query)


@audit.get("/me/activity")
@authenticated
@validate_query(PageQuery)
@answers(DeedPage)
def activity(page: PageQuery) -> DeedPage:
    """What the caller did, and what was done to their account; the newest first."""
    user_id = current_principal().user_id
    found = use(Trail).activity(user_id, before(page), page.limit + 1)
    shown = deeds(found, page)
    # From where somebody else worked on the account is their own affair.
    for deed in shown.items:
        if deed.actor_id not in (None, user_id):
            deed.address = ""
    return shown


def deeds(found: Sequence[Record], page: PageQuery) -> DeedPage:
    records, cursor = cut_page(found, page.limit, lambda each: (str(each.id),))
    items = [Deed(**asdict(each) | {"id": str(each.id)}) for each in records]
    return DeedPage(items=items, next_cursor=cursor)


def before(page: PageQuery) -> int | None:
    """Before which record *page* begins; 422 for a made-up cursor."""
    key = page.after()
    if key is None:
        return None
    if len(key) == 1 and key[0].isascii() and key[0].isdigit() and int(key[0][:20]) <= _MAX_ID:
        return int(key[0])
    raise invalid_field("#/cursor", "Use the next_cursor of the page before.")


def note_refusals(app: Flask) -> None:
    """Write into the trail whom *app* turned away, at whichever door."""

    @app.after_request
    def note(response: Response) -> Response:
        caller: Principal | None = g.get("principal")
        if response.status_code == 403 and caller is not None:
            door = f"{request.method} {request.url_rule or ''}"
            reason = (response.get_json(silent=True) or {}).get("code", "forbidden")
            use(Trail).turned_away(caller.user_id, caller.tenant_id, door, reason, origin())
        return response
