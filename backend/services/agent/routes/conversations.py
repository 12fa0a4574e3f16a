"""Routes for the caller's conversations, called sessions in the API."""

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
from backend.services.agent.errors import ConversationNotFound, MessageNotFound
from backend.services.agent.routes.request_caller import get_caller
from backend.services.agent.routes.schemas import (
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


@bp.get("/<session_id>")
@require_permission(Permission.AGENT_QUERY)
@responds_with(SessionDetailResponse, errors=(ConversationNotFound,))
def get_session(session_id: str) -> SessionDetailResponse:
    """Get a session with the messages of its active branch."""
    return SessionDetailResponse.from_conversation(
        use(ConversationService).get_conversation(get_caller(), session_id)
    )


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
