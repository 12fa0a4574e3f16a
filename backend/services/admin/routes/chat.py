"""Routes for the history and the statistics of chat. They forward to the chat service."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any, Literal

from flask import Blueprint, Response
from pydantic import BaseModel, Field

from backend.chassis.daily_counts import StatsQuery
from backend.chassis.http import quote_path_segment
from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import request_example, responds_with_stream
from backend.chassis.web.paging import MAX_LIMIT, Rfc3339Datetime
from backend.security import (
    Input,
    JsonInteger,
    Permission,
    VisibleText,
    caller_headers,
    require_permission,
    validate_input,
    validate_query,
)
from backend.services.admin.domain.forwarding import ChatForwarder
from backend.services.admin.errors import ChatUnavailable

chat_routes = Blueprint("chat", __name__, url_prefix="/chat")

_JSON = "application/json"
Identifier = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9_:.@-]+$")]
ChannelName = Literal[
    "web", "whatsapp", "messenger", "slack", "teams", "telegram", "twilio", "generic"
]


class ChatStatsQuery(StatsQuery):
    """The days, and with `channel` only the figures of one channel."""

    channel: ChannelName | None = None


class HistoryFilterQuery(Input):
    """Filters of the history. `q` has words of a message, or a part of the title.

    Selects conversations that have messages from `since` on and were opened before `until`.
    """

    q: Annotated[str, Field(min_length=1, max_length=200), VisibleText] | None = None
    status: Literal["open", "pending", "resolved"] | None = None
    channel: ChannelName | None = None
    account_id: Identifier | None = None
    user_id: Identifier | None = None
    contact_id: Identifier | None = None
    since: Rfc3339Datetime | None = None
    until: Rfc3339Datetime | None = None


class HistoryQuery(HistoryFilterQuery):
    """Filters and page of the list."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = 50
    cursor: Annotated[str, Field(max_length=1024)] | None = None


class HistoryExportQuery(HistoryFilterQuery):
    """Filters and format."""

    format: Literal["jsonl", "csv"] = "jsonl"


class RetentionChange(Input):
    """Days for which messages are kept; null for ever."""

    days: Annotated[int, Field(ge=1, le=36_500), JsonInteger] | None


class ChatStatsReport(BaseModel):
    """Statistics of the tenant as `GET /chat/stats` returns them."""

    conversations: Mapping[str, int]
    messages_24h: Mapping[str, int]
    failed_24h: int
    waiting_answers: int
    since: date
    until: date
    totals: Mapping[str, Any]
    channels: Mapping[str, Mapping[str, Any]]
    days: Sequence[Mapping[str, Any]]


class HistoryPage(BaseModel):
    """Conversations as `GET /chat/conversations` lists them."""

    items: Sequence[Mapping[str, Any]]
    next_cursor: str | None


class ErasureCounts(BaseModel):
    """Numbers of deleted conversations, and of deleted messages in other conversations."""

    conversations: int
    messages: int


class RetentionReport(BaseModel):
    """Messages are kept for `days`; null for ever. Those before the day `kept_from` are deleted."""

    days: int | None
    kept_from: date | None
    updated_at: datetime | None


class HistoryConversation(BaseModel):
    """A conversation with its last 50 messages, as `GET /chat/conversations/ID` returns it."""

    id: str
    messages: Sequence[Mapping[str, Any]]


@chat_routes.get("/stats")
@require_permission(Permission.CHAT_READ)
@validate_query(ChatStatsQuery)
@responds_with_stream(_JSON, model=ChatStatsReport, errors=(ChatUnavailable,))
@request_example(days="7")
def get_chat_stats(query: ChatStatsQuery) -> Response:
    """Get statistics of the tenant's conversations and messages, by day and channel."""
    return _forward("GET", "/stats", query)


@chat_routes.get("/history")
@require_permission(Permission.CHAT_MANAGE)
@validate_query(HistoryQuery)
@responds_with_stream(_JSON, model=HistoryPage, errors=(ChatUnavailable,))
@request_example(q="first computer program")
def list_history(query: HistoryQuery) -> Response:
    """Search the tenant's conversations, most recently updated first."""
    return _forward("GET", "/history", query)


@chat_routes.get("/history/export")
@require_permission(Permission.CHAT_MANAGE)
@validate_query(HistoryExportQuery)
@responds_with_stream("text/csv", "application/x-ndjson", errors=(ChatUnavailable,))
def export_history(query: HistoryExportQuery) -> Response:
    """Download the messages of the matching conversations as JSON lines or CSV, as a stream.

    In CSV, cells that a spreadsheet would calculate begin with an apostrophe. Internal notes are
    included. The export is recorded in the audit log.
    """
    return _forward("GET", "/history/export", query)


@chat_routes.get("/history/<conversation_id>")
@require_permission(Permission.CHAT_MANAGE)
@responds_with_stream(_JSON, model=HistoryConversation, errors=(ChatUnavailable,))
def get_history(conversation_id: str) -> Response:
    """Get a conversation of the tenant with its last 50 messages."""
    return _forward("GET", f"/conversations/{quote_path_segment(conversation_id)}")


@chat_routes.delete("/history/<conversation_id>")
@require_permission(Permission.CHAT_MANAGE)
@responds_with_stream(_JSON, statuses=(), empty_statuses=(204,), errors=(ChatUnavailable,))
def delete_history(conversation_id: str) -> Response:
    """Delete a conversation with all its messages. The deletion is recorded in the audit log."""
    return _forward("DELETE", f"/history/{quote_path_segment(conversation_id)}")


@chat_routes.delete("/history/people/<person>")
@require_permission(Permission.CHAT_MANAGE)
@responds_with_stream(_JSON, model=ErasureCounts, errors=(ChatUnavailable,))
@request_example(person="contact:cont_01a22900749f7e0f26155c57fe78")
def erase_person(person: str) -> Response:
    """Erase a person, `user:ID` or `contact:ID`: conversations, and messages in other ones.

    Unlike other deletions, this one also removes the contact with its identities. It is recorded
    in the audit log. A repeated request for a user deletes nothing and succeeds.
    """
    return _forward("DELETE", f"/history/people/{quote_path_segment(person)}")


@chat_routes.get("/retention")
@require_permission(Permission.CHAT_MANAGE)
@responds_with_stream(_JSON, model=RetentionReport, errors=(ChatUnavailable,))
def get_retention() -> Response:
    """Get the time for which the tenant keeps messages."""
    return _forward("GET", "/retention")


@chat_routes.put("/retention")
@require_permission(Permission.CHAT_MANAGE)
@validate_input(RetentionChange)
@responds_with_stream(_JSON, model=RetentionReport, errors=(ChatUnavailable,))
@request_example({"days": 365})
def set_retention(body: RetentionChange) -> Response:
    """Set the time for which the tenant keeps messages.

    Whole days (UTC) are deleted, with conversations that have no newer message, open ones too.
    Statistics of these days stay. The change is recorded in the audit log.
    """
    return _forward("PUT", "/retention", body=body)


def _forward(
    method: str, path: str, query: BaseModel | None = None, body: BaseModel | None = None
) -> Response:
    response = use(ChatForwarder).send(
        method,
        path,
        caller_headers(),
        None if query is None else query.model_dump(mode="json", exclude_none=True),
        None if body is None else body.model_dump(mode="json"),
    )
    return Response(response.content, response.status, dict(response.headers))
