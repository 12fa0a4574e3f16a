"""Routes that list, read, change and watch conversations."""

from collections.abc import Generator
from typing import Annotated, Any, Literal

from flask import Blueprint, Response
from pydantic import Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.file_downloads import send_download
from backend.chassis.web.openapi import request_example, responds_with, responds_with_stream
from backend.chassis.web.paging import PageQuery, paginate
from backend.chassis.web.sse import (
    InvalidLastEventId,
    format_event,
    format_json_event,
    get_last_event_id,
)
from backend.security import (
    Permission,
    require_permission,
    validate_input,
    validate_query,
)
from backend.services.chat.domain.access import Caller
from backend.services.chat.domain.changes import ChangeBoard
from backend.services.chat.domain.conversations import (
    UNSET,
    ConversationService,
    ConversationUpdate,
)
from backend.services.chat.domain.media.file_types import UNKNOWN
from backend.services.chat.domain.media.stored_files import MessageFiles
from backend.services.chat.domain.typing_signals import TypingSignals
from backend.services.chat.domain.views import Change, ConversationView, MessageView
from backend.services.chat.errors import (
    ConversationNotFound,
    ConversationTaken,
    ReplyPermissionRequired,
    ResourceNotFound,
)
from backend.services.chat.model import ConversationFilter
from backend.services.chat.routes.request_caller import get_caller
from backend.services.chat.routes.schemas import (
    ConversationChange,
    ConversationDetailResponse,
    ConversationPage,
    ConversationResponse,
    Identifier,
    MessageResponse,
    ParticipantResponse,
    ReadMove,
    TypingChange,
)
from backend.services.chat.routes.streams import StreamGuard, create_stream_response

conversations = Blueprint("conversations", __name__, url_prefix="/conversations")

# Streams also read the tables at this interval, in case a signal was lost.
_POLL_SECONDS = 1.0
MAX_EVENT_ID_DIGITS = 15
_IDS = r"^[A-Za-z0-9_-]{1,40}(,[A-Za-z0-9_-]{1,40}){0,99}$"
# Types that a browser shows without running anything. Others are downloaded.
_SHOWN_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_PLAYED_TYPES = ("audio/", "video/")


class ConversationListQuery(PageQuery):
    """Filters of the list. Without `chat:read` it contains the caller's own conversations.

    `ids` are up to 100 ids, separated by commas; `assigned` selects conversations with or without
    an assignee.
    """

    status: Literal["open", "pending", "resolved"] | None = None
    mode: Literal["bot", "human", "paused"] | None = None
    channel: Annotated[str, Field(max_length=16)] | None = None
    account_id: Identifier | None = None
    contact_id: Identifier | None = None
    owner_id: Identifier | None = None
    assignee_id: Identifier | None = None
    assigned: bool | None = None
    ids: Annotated[str, Field(pattern=_IDS, max_length=4200)] | None = None


@conversations.get("")
@require_permission(Permission.CHAT_USE)
@validate_query(ConversationListQuery)
@responds_with(ConversationPage)
def list_conversations(query: ConversationListQuery) -> ConversationPage:
    """List conversations, most recently updated first.

    With `chat:read` those of the tenant, otherwise the caller's own.
    """
    conditions = ConversationFilter(
        owner_id=query.owner_id,
        status=query.status,
        channel=query.channel,
        mode=query.mode,
        assignee_id=query.assignee_id,
        account_id=query.account_id,
        contact_id=query.contact_id,
        ids=None if query.ids is None else tuple(query.ids.split(",")),
        is_assigned=query.assigned,
    )
    rows = use(ConversationService).list_conversations(
        get_caller(), conditions, query.limit + 1, query.decode_time_cursor()
    )
    items, cursor = paginate(rows, query.limit, _cursor_key)
    return ConversationPage(
        items=[ConversationResponse.from_view(row) for row in items], next_cursor=cursor
    )


@conversations.get("/<conversation_id>")
@require_permission(Permission.CHAT_USE)
@responds_with(ConversationDetailResponse, errors=(ConversationNotFound,))
def get_conversation(conversation_id: str) -> ConversationDetailResponse:
    """Get a conversation with its last 50 messages and its participants."""
    return ConversationDetailResponse.from_detail(
        use(ConversationService).get_conversation(get_caller(), conversation_id)
    )


@conversations.patch("/<conversation_id>")
@require_permission(Permission.CHAT_USE)
@validate_input(ConversationChange)
@responds_with(
    ConversationResponse,
    errors=(ConversationNotFound, ConversationTaken, ReplyPermissionRequired),
)
@request_example({"title": "The first computer program", "status": "resolved"})
def update_conversation(body: ConversationChange, conversation_id: str) -> ConversationResponse:
    """Change title, status, mode or assignee. Mode and assignee require `chat:reply`.

    In the mode `bot` the agent answers; in `human` a person does, and the agent answers again after
    24 hours without one; in `paused` the agent does not answer, and no person is assigned.
    """
    sent = body.model_fields_set
    update = ConversationUpdate(
        title=body.title,
        status=body.status,
        mode=body.mode,
        assignee_id=body.assignee_id if "assignee_id" in sent else UNSET,
        expected_assignee_id=(
            body.expected_assignee_id if "expected_assignee_id" in sent else UNSET
        ),
    )
    view = use(ConversationService).update_conversation(get_caller(), conversation_id, update)
    return ConversationResponse.from_view(view)


@conversations.delete("/<conversation_id>")
@require_permission(Permission.CHAT_USE)
@responds_with(status=204, errors=(ConversationNotFound, ReplyPermissionRequired))
def delete_conversation(conversation_id: str) -> None:
    """Delete an own conversation with all its messages; any of the tenant with `chat:manage`."""
    use(ConversationService).delete_conversation(get_caller(), conversation_id)


@conversations.get("/<conversation_id>/attachments/<attachment_id>")
@require_permission(Permission.CHAT_USE)
@responds_with_stream(UNKNOWN, errors=(ConversationNotFound, ResourceNotFound))
def get_attachment(conversation_id: str, attachment_id: str) -> Response:
    """Download the file of a message, once its state is `stored`."""
    file = use(MessageFiles).find_file(get_caller(), conversation_id, attachment_id)
    response = send_download(
        file.source, mimetype=file.mime, download_name=file.name, etag=file.version
    )
    if file.mime in _SHOWN_TYPES or file.mime.startswith(_PLAYED_TYPES):
        response.headers["Content-Disposition"] = "inline"
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


@conversations.put("/<conversation_id>/read")
@require_permission(Permission.CHAT_USE)
@validate_input(ReadMove)
@responds_with(ReadMove, errors=(ConversationNotFound,))
@request_example({"seq": 1})
def move_read_position(body: ReadMove, conversation_id: str) -> ReadMove:
    """Mark messages up to `seq` as read by the caller. The position only moves forward."""
    seq = use(ConversationService).move_read_position(get_caller(), conversation_id, body.seq)
    return ReadMove(seq=seq)


@conversations.post("/<conversation_id>/typing")
@require_permission(Permission.CHAT_USE)
@validate_input(TypingChange, optional=True)
@responds_with(status=202, errors=(ConversationNotFound,))
@request_example({"typing": True})
def set_typing(body: TypingChange | None, conversation_id: str) -> None:
    """Show other readers for some seconds that the caller types."""
    caller = get_caller()
    use(ConversationService).ensure_visible(caller, conversation_id)
    use(TypingSignals).publish_typing(
        caller, conversation_id, is_typing=body is None or body.typing
    )


@conversations.get("/<conversation_id>/events")
@require_permission(Permission.CHAT_USE)
@responds_with_stream("text/event-stream", errors=(ConversationNotFound, InvalidLastEventId))
def stream_events(conversation_id: str) -> Response:
    """Stream the changes of a conversation.

    Events: `message` (a message in its current state, new or changed), `read`, `conversation`, and
    without an id `typing`, `delta` and `step`. The `id` is the number of the change: send the last
    one as `Last-Event-ID` to get what has changed since then. Without it the stream starts with
    the next change. A comment is sent every 10 seconds.
    """
    caller = get_caller()
    service = use(ConversationService)
    last = get_last_event_id(MAX_EVENT_ID_DIGITS)
    position = service.get_change_seq(caller, conversation_id)
    if last is not None:
        position = min(last, position)
    return create_stream_response(_stream_changes(caller, conversation_id, position))


def _stream_changes(
    caller: Caller, conversation_id: str, position: int
) -> Generator[bytes, Any, None]:
    guard = StreamGuard()
    service = use(ConversationService)
    # The client learns the position, and that the stream is open.
    yield format_event("open", {"change_seq": position}, position)
    with use(ChangeBoard).watch(conversation_id) as watcher:
        while guard.is_valid():
            try:
                changes = service.list_changes(caller, conversation_id, position)
            except ConversationNotFound:
                yield format_event("deleted", {})
                return
            for change in changes:
                position = change.number
                yield format_json_event(change.name, write_change(change), change.number)
                guard.mark_sent()
            for event in watcher.take_events():
                name = event.name.removeprefix("answer-")
                yield format_event(name, event.data)
                guard.mark_sent()
            yield from guard.get_heartbeats()
            if not changes:
                watcher.wait(_POLL_SECONDS)


def write_change(change: Change) -> str:
    """Return the data of a change as JSON."""
    data = change.data
    if isinstance(data, MessageView):
        return MessageResponse.from_view(data).model_dump_json()
    if isinstance(data, ConversationView):
        return ConversationResponse.from_view(data).model_dump_json()
    return ParticipantResponse.from_view(data).model_dump_json()


def _cursor_key(view: ConversationView) -> tuple[str, str]:
    return view.updated_at.isoformat(), view.id
