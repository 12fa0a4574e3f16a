"""Received webhooks: list of the failed ones, and their replay."""

from dataclasses import asdict
from datetime import datetime
from typing import Literal

from flask import Blueprint
from pydantic import BaseModel

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import responds_with
from backend.chassis.web.paging import PageQuery, paginate
from backend.security import Permission, current_principal, require_permission, validate_query
from backend.services.chat.domain.webhooks.reception import ReceivedWebhook, WebhookReceiver
from backend.services.chat.errors import ResourceNotFound, WebhookUnreadable

inbound = Blueprint("inbound", __name__, url_prefix="/inbound")


class ReceivedWebhookResponse(BaseModel):
    """An event that a provider sent, or a webhook that could not be processed.

    `error` says why. While `has_body`, a failed webhook can be replayed.
    """

    id: str
    account_id: str
    kind: str
    state: str
    error: str | None
    attempts: int
    has_body: bool
    received_at: datetime


class ReceivedWebhookPage(BaseModel):
    items: list[ReceivedWebhookResponse]
    next_cursor: str | None


class ReceivedWebhookQuery(PageQuery):
    state: Literal["done", "failed"] | None = None


@inbound.get("")
@require_permission(Permission.CHAT_MANAGE)
@validate_query(ReceivedWebhookQuery)
@responds_with(ReceivedWebhookPage)
def list_received_webhooks(query: ReceivedWebhookQuery) -> ReceivedWebhookPage:
    """List received events and failed webhooks, latest first."""
    rows = use(WebhookReceiver).list_received(
        current_principal().tenant_id, query.state, query.limit + 1, query.decode_time_cursor()
    )
    page, cursor = paginate(rows, query.limit, lambda row: (row.received_at.isoformat(), row.id))
    return ReceivedWebhookPage(items=[_to_response(row) for row in page], next_cursor=cursor)


@inbound.post("/<inbound_id>/replay")
@require_permission(Permission.CHAT_MANAGE)
@responds_with(ReceivedWebhookResponse, errors=(ResourceNotFound, WebhookUnreadable))
def replay_webhook(inbound_id: str) -> ReceivedWebhookResponse:
    """Process a webhook again. What is stored already stays as it is.

    The body of a webhook is kept for seven days.
    """
    row = use(WebhookReceiver).replay(current_principal().tenant_id, inbound_id)
    return _to_response(row)


def _to_response(row: ReceivedWebhook) -> ReceivedWebhookResponse:
    return ReceivedWebhookResponse(**asdict(row))
