"""Routes for the history of a tenant's conversations: search, export, deletion, retention."""

from datetime import date, datetime
from typing import Annotated, Literal, Self

from flask import Blueprint, Response
from pydantic import BaseModel, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.audit import get_request_origin
from backend.chassis.web.openapi import request_example, responds_with, responds_with_stream
from backend.chassis.web.paging import PageQuery, Rfc3339Datetime, paginate
from backend.security import (
    HttpError,
    Input,
    JsonInteger,
    Permission,
    VisibleText,
    require_permission,
    validate_input,
    validate_query,
)
from backend.services.chat.domain.history import HistoryService
from backend.services.chat.domain.retention import Retention, RetentionService
from backend.services.chat.errors import ConversationNotFound, ResourceNotFound
from backend.services.chat.model import HistoryFilter
from backend.services.chat.routes.request_caller import get_caller
from backend.services.chat.routes.schemas import (
    ConversationPage,
    ConversationResponse,
    Identifier,
)
from backend.services.chat.routes.stats import ChannelName

history = Blueprint("history", __name__)

MAX_RETENTION_DAYS = 36_500
_CSV = "text/csv"
_JSONL = "application/x-ndjson"


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

    def build_filter(self) -> HistoryFilter:
        return HistoryFilter(
            text=self.q,
            status=self.status,
            channel=self.channel,
            account_id=self.account_id,
            owner_id=self.user_id,
            contact_id=self.contact_id,
            since=self.since,
            until=self.until,
        )


class HistoryQuery(HistoryFilterQuery, PageQuery):
    """Filters and page of the list."""


class ExportQuery(HistoryFilterQuery):
    """Filters and format. Of the conversations, messages from `since` on before `until`."""

    format: Literal["jsonl", "csv"] = "jsonl"


class ErasureResponse(BaseModel):
    """Numbers of deleted conversations, and of deleted messages in other conversations."""

    conversations: int
    messages: int


class RetentionInput(Input):
    """Days for which messages are kept; null for ever."""

    days: Annotated[int, Field(ge=1, le=MAX_RETENTION_DAYS), JsonInteger] | None


class RetentionResponse(BaseModel):
    """Messages are kept for `days`; null for ever. Those before the day `kept_from` are deleted."""

    days: int | None
    kept_from: date | None
    updated_at: datetime | None

    @classmethod
    def from_retention(cls, retention: Retention) -> Self:
        return cls.model_validate(retention, from_attributes=True)


@history.get("/history")
@require_permission(Permission.CHAT_MANAGE)
@validate_query(HistoryQuery)
@responds_with(ConversationPage)
@request_example(q="first computer program")
def list_history(query: HistoryQuery) -> ConversationPage:
    """Search the tenant's conversations, most recently updated first."""
    rows = use(HistoryService).list_conversations(
        get_caller(), query.build_filter(), query.limit + 1, query.decode_time_cursor()
    )
    items, cursor = paginate(rows, query.limit, lambda row: (row.updated_at.isoformat(), row.id))
    return ConversationPage(
        items=[ConversationResponse.from_view(row) for row in items], next_cursor=cursor
    )


@history.get("/history/export")
@require_permission(Permission.CHAT_MANAGE)
@validate_query(ExportQuery)
@responds_with_stream(_CSV, _JSONL)
def export_history(query: ExportQuery) -> Response:
    """Download the messages of the matching conversations as JSON lines or CSV, as a stream.

    In CSV, cells that a spreadsheet would calculate begin with an apostrophe. Internal notes are
    included. The export is recorded in the audit log.
    """
    content = use(HistoryService).export_messages(
        get_caller(), query.build_filter(), query.format, get_request_origin()
    )
    headers = {"Content-Disposition": f'attachment; filename="history.{query.format}"'}
    content_type = f"{_CSV}; charset=utf-8" if query.format == "csv" else _JSONL
    return Response(content, headers=headers, content_type=content_type)


@history.delete("/history/<conversation_id>")
@require_permission(Permission.CHAT_MANAGE)
@responds_with(status=204, errors=(ConversationNotFound,))
def delete_history(conversation_id: str) -> None:
    """Delete a conversation with all its messages. The deletion is recorded in the audit log."""
    use(HistoryService).delete_conversation(get_caller(), conversation_id, get_request_origin())


@history.delete("/history/people/<person>")
@require_permission(Permission.CHAT_MANAGE)
@responds_with(ErasureResponse, errors=(ResourceNotFound,))
@request_example(person="contact:cont_01a22900749f7e0f26155c57fe78")
def erase_person(person: str) -> ErasureResponse:
    """Erase a person, `user:ID` or `contact:ID`: conversations, and messages in other ones.

    Unlike other deletions, this one also removes the contact with its identities. It is recorded
    in the audit log. A repeated request for a user deletes nothing and succeeds.
    """
    service, caller = use(HistoryService), get_caller()
    match person.partition(":"):
        case ("user", ":", user_id) if user_id:
            erased = service.erase_user(caller, user_id, get_request_origin())
        case ("contact", ":", contact_id) if contact_id:
            erased = service.erase_contact(caller, contact_id, get_request_origin())
        case _:
            raise HttpError(
                404, "not_found", "Resource not found", "Write the person as user:ID or contact:ID."
            )
    return ErasureResponse.model_validate(erased, from_attributes=True)


@history.get("/retention")
@require_permission(Permission.CHAT_MANAGE)
@responds_with(RetentionResponse)
def get_retention() -> RetentionResponse:
    """Get the time for which the tenant keeps messages."""
    return RetentionResponse.from_retention(use(RetentionService).get_retention(get_caller()))


@history.put("/retention")
@require_permission(Permission.CHAT_MANAGE)
@validate_input(RetentionInput)
@responds_with(RetentionResponse)
@request_example({"days": 365})
def set_retention(body: RetentionInput) -> RetentionResponse:
    """Set the time for which the tenant keeps messages.

    Whole days (UTC) are deleted by the worker, with conversations that have no newer message, open
    ones too. Statistics of these days stay. The change is recorded in the audit log.
    """
    retention = use(RetentionService).set_retention(get_caller(), body.days, get_request_origin())
    return RetentionResponse.from_retention(retention)
