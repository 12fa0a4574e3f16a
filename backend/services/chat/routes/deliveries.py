"""Routes for deliveries to the channels."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Self

from flask import Blueprint
from pydantic import BaseModel

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import responds_with
from backend.chassis.web.paging import PageQuery, paginate
from backend.security import Permission, current_principal, require_permission, validate_query
from backend.services.chat.domain.deliveries import DeliveryService
from backend.services.chat.routes.schemas import Identifier

deliveries = Blueprint("deliveries", __name__, url_prefix="/deliveries")

DeliveryState = Literal[
    "queued", "sending", "sent", "delivered", "read", "failed", "unknown", "cancelled"
]


class DeliveryQuery(PageQuery):
    """Query string of the list."""

    state: DeliveryState | None = None
    hook_id: Identifier | None = None
    account_id: Identifier | None = None
    conversation_id: Identifier | None = None


class DeliveryResponse(BaseModel):
    """A part of a message, or a change of one, on its way to a channel, or an event to a hook.

    `unknown` is the state after an attempt without a response: the provider may have the message.
    If `next_attempt_at` is set, it is looked up then, otherwise a person decides. `degradations`
    names what the channel shows differently.
    """

    id: str
    account_id: str | None
    conversation_id: str | None
    message_id: str | None
    hook_id: str | None
    kind: str
    part: int
    state: str
    external_id: str | None
    degradations: Sequence[str]
    error: Mapping[str, Any] | None
    attempts: int
    next_attempt_at: datetime | None
    expires_at: datetime
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: object) -> Self:
        return cls.model_validate(row, from_attributes=True)


class DeliveryListResponse(BaseModel):
    """A page of deliveries, latest first."""

    items: Sequence[DeliveryResponse]
    next_cursor: str | None


@deliveries.get("")
@require_permission(Permission.CHAT_READ)
@validate_query(DeliveryQuery)
@responds_with(DeliveryListResponse)
def list_deliveries(query: DeliveryQuery) -> DeliveryListResponse:
    """List the deliveries of all conversations, and of events to hooks."""
    cursor = query.decode_cursor()
    rows = use(DeliveryService).list_deliveries(
        current_principal().tenant_id,
        query.model_dump(exclude={"limit", "cursor"}, exclude_none=True),
        query.limit + 1,
        None if cursor is None else int(cursor[0]),
    )
    page, next_cursor = paginate(rows, query.limit, lambda row: (str(row.position),))
    items = [DeliveryResponse.of(row) for row in page]
    return DeliveryListResponse(items=items, next_cursor=next_cursor)


@deliveries.post("/<delivery_id>/retry")
@require_permission(Permission.CHAT_MANAGE)
@responds_with(DeliveryResponse)
def retry_delivery(delivery_id: str) -> DeliveryResponse:
    """Send a failed, cancelled or unknown delivery again.

    After an unknown outcome, the contact can receive the message twice.
    """
    return DeliveryResponse.of(
        use(DeliveryService).retry(current_principal().tenant_id, delivery_id)
    )


@deliveries.post("/<delivery_id>/cancel")
@require_permission(Permission.CHAT_MANAGE)
@responds_with(DeliveryResponse)
def cancel_delivery(delivery_id: str) -> DeliveryResponse:
    """Cancel a delivery that is queued or unknown."""
    return DeliveryResponse.of(
        use(DeliveryService).cancel(current_principal().tenant_id, delivery_id)
    )
