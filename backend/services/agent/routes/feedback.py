"""Routes for feedback on answers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from flask import Blueprint
from pydantic import BaseModel, StringConstraints

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import request_example, responds_with
from backend.chassis.web.paging import PageQuery, Rfc3339Datetime, paginate
from backend.security import (
    Input,
    Permission,
    current_principal,
    require_permission,
    validate_input,
    validate_query,
)
from backend.services.agent.domain.conversations.feedback import (
    FeedbackEntry,
    FeedbackFilters,
    FeedbackService,
)
from backend.services.agent.errors import (
    ConversationNotFound,
    FeedbackNotFound,
    MessageNotFound,
    NotAnAssistantMessage,
)
from backend.services.agent.routes.request_caller import get_caller
from backend.services.agent.routes.schemas import Identifier

bp = Blueprint("feedback", __name__)


class FeedbackRequest(Input):
    """Feedback on an answer; without `message_id`, on the last answer of the session."""

    thumb: Literal["up", "down"]
    text: Annotated[str, StringConstraints(strip_whitespace=True, max_length=4_000)] = ""
    message_id: Identifier | None = None


class FeedbackResponse(BaseModel):
    """Feedback of one user on one answer."""

    id: str
    session_id: str
    message_id: str
    user_id: str
    thumb: Literal["up", "down"]
    text: str
    model: str | None
    created_at: datetime
    updated_at: datetime


class FeedbackListResponse(BaseModel):
    """A page of feedback, latest first."""

    items: Sequence[FeedbackResponse]
    next_cursor: str | None


class FeedbackListQuery(PageQuery):
    """Filters of the feedback list. `since` and `until` refer to the time of the last update."""

    thumb: Literal["up", "down"] | None = None
    model: Identifier | None = None
    user_id: Identifier | None = None
    session_id: Identifier | None = None
    since: Rfc3339Datetime | None = None
    until: Rfc3339Datetime | None = None

    def to_filters(self) -> FeedbackFilters:
        return FeedbackFilters(
            self.thumb, self.model, self.user_id, self.session_id, self.since, self.until
        )


@bp.post("/sessions/<session_id>/feedback")
@require_permission(Permission.AGENT_QUERY)
@validate_input(FeedbackRequest)
@responds_with(
    FeedbackResponse,
    201,
    other_statuses=(200,),
    errors=(ConversationNotFound, MessageNotFound, NotAnAssistantMessage),
)
@request_example({"thumb": "up", "text": "Correct, with the right citation."})
def submit_feedback(body: FeedbackRequest, session_id: str) -> tuple[FeedbackResponse, int]:
    """Submit feedback on an answer.

    Returns 201, or 200 if earlier feedback of the caller was replaced.
    """
    entry, is_new = use(FeedbackService).submit_feedback(
        get_caller(), session_id, body.thumb, body.text, body.message_id
    )
    return _to_response(entry), 201 if is_new else 200


@bp.get("/sessions/<session_id>/feedback")
@require_permission(Permission.AGENT_QUERY)
@validate_query(PageQuery)
@responds_with(FeedbackListResponse, errors=(ConversationNotFound,))
def list_own_feedback(page: PageQuery, session_id: str) -> FeedbackListResponse:
    """List the caller's feedback on the answers of a session."""
    entries = use(FeedbackService).list_own_feedback(
        get_caller(), session_id, page.limit + 1, page.decode_time_cursor()
    )
    return _to_list_response(entries, page)


@bp.delete("/sessions/<session_id>/feedback/<message_id>")
@require_permission(Permission.AGENT_QUERY)
@responds_with(None, 204, errors=(ConversationNotFound, FeedbackNotFound))
def delete_feedback(session_id: str, message_id: str) -> None:
    """Delete the caller's feedback on an answer."""
    use(FeedbackService).delete_feedback(get_caller(), session_id, message_id)


@bp.get("/feedback")
@require_permission(Permission.AUDIT_READ)
@validate_query(FeedbackListQuery)
@responds_with(FeedbackListResponse)
def list_tenant_feedback(query: FeedbackListQuery) -> FeedbackListResponse:
    """List the feedback of all users of the tenant.

    Requests and answers are not included; only their owners can read them.
    """
    tenant_id = current_principal().tenant_id
    entries = use(FeedbackService).list_tenant_feedback(
        tenant_id, query.to_filters(), query.limit + 1, query.decode_time_cursor()
    )
    return _to_list_response(entries, query)


def _to_list_response(entries: Sequence[FeedbackEntry], page: PageQuery) -> FeedbackListResponse:
    items, next_cursor = paginate(
        entries, page.limit, lambda entry: (entry.updated_at.isoformat(), entry.id)
    )
    return FeedbackListResponse(
        items=[_to_response(entry) for entry in items], next_cursor=next_cursor
    )


def _to_response(entry: FeedbackEntry) -> FeedbackResponse:
    return FeedbackResponse.model_validate(entry, from_attributes=True)
