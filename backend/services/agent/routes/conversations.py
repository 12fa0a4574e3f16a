"""The caller's conversations."""

from typing import Annotated

from flask import Blueprint
from pydantic import Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import answers
from backend.chassis.web.paging import PageQuery, cut_page
from backend.security import (
    Permission,
    require_permission,
    validate_input,
    validate_query,
)
from backend.services.agent.domain.conversations import Conversations, Summary
from backend.services.agent.errors import ConversationNotFound, MessageNotFound
from backend.services.agent.routes.callers import caller
from backend.services.agent.routes.shapes import (
    SessionChange,
    SessionList,
    SessionShape,
    SessionWhole,
)


class SessionQuery(PageQuery):
    """A page of conversations, or of those that hold a text."""

    q: Annotated[str, Field(min_length=1, max_length=200)] | None = None


bp = Blueprint("sessions", __name__, url_prefix="/sessions")


@bp.get("")
@require_permission(Permission.AGENT_QUERY)
@validate_query(SessionQuery)
@answers(SessionList)
def conversations(page: SessionQuery) -> SessionList:
    """The caller's conversations, the most recently used first.

    With `q`, those that hold this text in their title or in a message.
    """
    found = use(Conversations).listed(caller(), page.limit + 1, page.after_moment(), page.q)
    shown, next_cursor = cut_page(found, page.limit, _key)
    return SessionList(items=[SessionShape.of(each) for each in shown], next_cursor=next_cursor)


@bp.get("/<session_id>")
@require_permission(Permission.AGENT_QUERY)
@answers(SessionWhole, errors=(ConversationNotFound,))
def conversation(session_id: str) -> SessionWhole:
    """One conversation with the messages of its active branch."""
    return SessionWhole.whole(use(Conversations).whole(caller(), session_id))


@bp.patch("/<session_id>")
@require_permission(Permission.AGENT_QUERY)
@validate_input(SessionChange)
@answers(SessionWhole, errors=(ConversationNotFound, MessageNotFound))
def change_conversation(change: SessionChange, session_id: str) -> SessionWhole:
    """Rename a conversation, or switch to the branch in which a message stands."""
    changed = use(Conversations).change(
        caller(), session_id, change.title, change.active_message_id
    )
    return SessionWhole.whole(changed)


@bp.delete("/<session_id>")
@require_permission(Permission.AGENT_QUERY)
@answers(None, 204, errors=(ConversationNotFound,))
def delete_conversation(session_id: str) -> None:
    """Delete a conversation; an answer being written in it stops."""
    use(Conversations).remove(caller(), session_id)


@bp.post("/<session_id>/cancel")
@require_permission(Permission.AGENT_QUERY)
@answers(None, 202, errors=(ConversationNotFound,))
def cancel(session_id: str) -> None:
    """Stop the answer that is being written, within two seconds."""
    use(Conversations).cancel(caller(), session_id)


def _key(summary: Summary) -> tuple[str, str]:
    return summary.updated_at.isoformat(), summary.id
