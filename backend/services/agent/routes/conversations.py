"""Routes for the caller's conversations, called sessions in the API."""

from collections.abc import Sequence
from typing import Annotated

from flask import Blueprint
from pydantic import Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import request_example, responds_with
from backend.chassis.web.paging import PageQuery, paginate
from backend.security import (
    Permission,
    require_permission,
    validate_input,
    validate_query,
)
from backend.services.agent.domain.conversations.conversations import (
    ConversationService,
    ConversationSummary,
)
from backend.services.agent.domain.conversations.recorded_messages import (
    RecordedMessage,
    RecordedMessageService,
)
from backend.services.agent.errors import (
    ConversationBusy,
    ConversationNotFound,
    MessageNotFound,
)
from backend.services.agent.routes.request_caller import get_caller
from backend.services.agent.routes.schemas import (
    MessagesAppend,
    RecordedMessageInput,
    SessionCreate,
    SessionDetailResponse,
    SessionListResponse,
    SessionResponse,
    SessionUpdate,
)


class SessionListQuery(PageQuery):
    """Query parameters of the session list; `q` is a text to search for."""

    q: Annotated[str, Field(min_length=1, max_length=200)] | None = None


bp = Blueprint("sessions", __name__, url_prefix="/sessions")


@bp.get("")
@require_permission(Permission.AGENT_QUERY)
@validate_query(SessionListQuery)
@responds_with(SessionListResponse)
def list_sessions(page: SessionListQuery) -> SessionListResponse:
    """List the caller's sessions, most recently updated first.

    With `q`, only sessions with this text in the title or in a message.
    """
    summaries = use(ConversationService).list_conversations(
        get_caller(), page.limit + 1, page.decode_time_cursor(), page.q
    )
    items, next_cursor = paginate(summaries, page.limit, _cursor_key)
    return SessionListResponse(
        items=[SessionResponse.from_summary(summary) for summary in items], next_cursor=next_cursor
    )


@bp.post("")
@require_permission(Permission.AGENT_QUERY)
@validate_input(SessionCreate)
@responds_with(SessionDetailResponse, 201)
@request_example(
    {"origin": "chat", "messages": [{"role": "user", "content": "Who was Ada Lovelace?"}]}
)
def create_session(body: SessionCreate) -> SessionDetailResponse:
    """Create a session with messages that are not answered.

    Sessions with the origin `chat` belong to conversations of the chat service. They are not
    listed.
    """
    session_id = use(RecordedMessageService).create_conversation(
        get_caller(), body.origin, _to_messages(body.messages)
    )
    return get_session_detail(session_id)


@bp.post("/<session_id>/messages")
@require_permission(Permission.AGENT_QUERY)
@validate_input(MessagesAppend)
@responds_with(SessionDetailResponse, 201, errors=(ConversationNotFound, ConversationBusy))
@request_example({"messages": [{"role": "assistant", "content": "She wrote the first program."}]})
def append_messages(body: MessagesAppend, session_id: str) -> SessionDetailResponse:
    """Append messages without answering them, such as those of a person who took over."""
    use(RecordedMessageService).append_messages(
        get_caller(), session_id, _to_messages(body.messages)
    )
    return get_session_detail(session_id)


def get_session_detail(session_id: str) -> SessionDetailResponse:
    """Return the caller's session with its messages."""
    return SessionDetailResponse.from_conversation(
        use(ConversationService).get_conversation(get_caller(), session_id)
    )


def _to_messages(inputs: Sequence[RecordedMessageInput]) -> list[RecordedMessage]:
    return [RecordedMessage(item.role, item.content) for item in inputs]


@bp.get("/<session_id>")
@require_permission(Permission.AGENT_QUERY)
@responds_with(SessionDetailResponse, errors=(ConversationNotFound,))
def get_session(session_id: str) -> SessionDetailResponse:
    """Get a session with the messages of its active branch."""
    return get_session_detail(session_id)


@bp.patch("/<session_id>")
@require_permission(Permission.AGENT_QUERY)
@validate_input(SessionUpdate)
@responds_with(SessionDetailResponse, errors=(ConversationNotFound, MessageNotFound))
@request_example({"title": "The first computer program"})
def update_session(change: SessionUpdate, session_id: str) -> SessionDetailResponse:
    """Change the title of a session, or activate the branch of a message."""
    conversation = use(ConversationService).update_conversation(
        get_caller(), session_id, change.title, change.active_message_id
    )
    return SessionDetailResponse.from_conversation(conversation)


@bp.delete("/<session_id>")
@require_permission(Permission.AGENT_QUERY)
@responds_with(None, 204, errors=(ConversationNotFound,))
def delete_session(session_id: str) -> None:
    """Delete a session. An answer in progress is stopped."""
    use(ConversationService).delete_conversation(get_caller(), session_id)


@bp.post("/<session_id>/cancel")
@require_permission(Permission.AGENT_QUERY)
@responds_with(None, 202, errors=(ConversationNotFound,))
def cancel_run(session_id: str) -> None:
    """Cancel the answer in progress. It stops within two seconds."""
    use(ConversationService).cancel_run(get_caller(), session_id)


def _cursor_key(summary: ConversationSummary) -> tuple[str, str]:
    return summary.updated_at.isoformat(), summary.id
