"""Routes for the caller's notifications."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from flask import Blueprint
from pydantic import BaseModel, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import request_example, responds_with
from backend.chassis.web.paging import PageQuery, paginate
from backend.security import (
    Input,
    authenticated,
    current_principal,
    validate_input,
    validate_query,
)
from backend.services.realtime.domain.notifications import NotificationService

bp = Blueprint("notifications", __name__, url_prefix="/notifications")


class NotificationResponse(BaseModel):
    """A notification. `link` is a path in the console, or empty."""

    offset: int
    id: str
    kind: str
    title: str
    link: str
    time: datetime


class NotificationListResponse(BaseModel):
    """A page of notifications, latest first, and the number of all that are unread."""

    items: Sequence[NotificationResponse]
    unread: int
    read_offset: int
    next_cursor: str | None


class ReadRequest(Input):
    """The offset of the last notification that was read."""

    offset: Annotated[int, Field(ge=0, lt=2**63)]


class ReadResponse(BaseModel):
    """The read position, and the number of notifications after it."""

    read_offset: int
    unread: int


@bp.get("")
@authenticated
@validate_query(PageQuery)
@responds_with(NotificationListResponse)
def list_notifications(page: PageQuery) -> NotificationListResponse:
    """List the caller's notifications of the last seven days."""
    principal = current_principal()
    cursor = page.decode_cursor()
    entries, state = use(NotificationService).list_notifications(
        principal.tenant_id,
        principal.user_id,
        page.limit + 1,
        None if cursor is None else int(cursor[0]),
    )
    items, next_cursor = paginate(entries, page.limit, lambda entry: (str(entry.offset),))
    return NotificationListResponse(
        items=[NotificationResponse.model_validate(i, from_attributes=True) for i in items],
        unread=state.unread,
        read_offset=state.read_offset,
        next_cursor=next_cursor,
    )


@bp.put("/read")
@authenticated
@validate_input(ReadRequest)
@responds_with(ReadResponse)
@request_example({"offset": 1})
def mark_read(body: ReadRequest) -> ReadResponse:
    """Set the offset up to which the caller has read notifications. It never moves back."""
    principal = current_principal()
    state = use(NotificationService).mark_read(principal.tenant_id, principal.user_id, body.offset)
    return ReadResponse.model_validate(state, from_attributes=True)
