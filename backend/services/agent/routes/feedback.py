"""What people think of the agent's answers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from flask import Blueprint
from pydantic import BaseModel, StringConstraints

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import answers
from backend.chassis.web.paging import Moment, PageQuery, cut_page
from backend.security import (
    Input,
    Permission,
    current_principal,
    require_permission,
    validate_input,
    validate_query,
)
from backend.services.agent.domain.feedback import Filters, Opinion, Opinions
from backend.services.agent.errors import (
    ConversationNotFound,
    FeedbackNotFound,
    MessageNotFound,
    NotAnAnswer,
)
from backend.services.agent.routes.callers import caller
from backend.services.agent.routes.shapes import Name

bp = Blueprint("feedback", __name__)


class GivenFeedback(Input):
    """An opinion on an answer: on the session's last one, unless `message_id` names another."""

    thumb: Literal["up", "down"]
    text: Annotated[str, StringConstraints(strip_whitespace=True, max_length=4_000)] = ""
    message_id: Name | None = None


class FeedbackShape(BaseModel):
    """One person's opinion on one answer."""

    id: str
    session_id: str
    message_id: str
    user_id: str
    thumb: Literal["up", "down"]
    text: str
    model: str | None
    created_at: datetime
    updated_at: datetime


class FeedbackList(BaseModel):
    """Opinions, the latest first."""

    items: Sequence[FeedbackShape]
    next_cursor: str | None


class FeedbackQuery(PageQuery):
    """Which opinions are wanted; `since` and `until` mean when they were last changed."""

    thumb: Literal["up", "down"] | None = None
    model: Name | None = None
    user_id: Name | None = None
    session_id: Name | None = None
    since: Moment | None = None
    until: Moment | None = None

    def filters(self) -> Filters:
        return Filters(
            self.thumb, self.model, self.user_id, self.session_id, self.since, self.until
        )


@bp.post("/sessions/<session_id>/feedback")
@require_permission(Permission.AGENT_QUERY)
@validate_input(GivenFeedback)
@answers(
    FeedbackShape, 201, also=(200,), errors=(ConversationNotFound, MessageNotFound, NotAnAnswer)
)
def give(given: GivenFeedback, session_id: str) -> tuple[FeedbackShape, int]:
    """Say what an answer is worth: 201, or 200 where an earlier opinion on it is changed."""
    opinion, is_new = use(Opinions).give(
        caller(), session_id, given.thumb, given.text, given.message_id
    )
    return _shape(opinion), 201 if is_new else 200


@bp.get("/sessions/<session_id>/feedback")
@require_permission(Permission.AGENT_QUERY)
@validate_query(PageQuery)
@answers(FeedbackList, errors=(ConversationNotFound,))
def own_feedback(page: PageQuery, session_id: str) -> FeedbackList:
    """The caller's opinions on the answers of a session."""
    found = use(Opinions).in_conversation(caller(), session_id, page.limit + 1, page.after_moment())
    return _listed(found, page)


@bp.delete("/sessions/<session_id>/feedback/<message_id>")
@require_permission(Permission.AGENT_QUERY)
@answers(None, 204, errors=(ConversationNotFound, FeedbackNotFound))
def withdraw(session_id: str, message_id: str) -> None:
    """Take back what the caller has said about an answer."""
    use(Opinions).withdraw(caller(), session_id, message_id)


@bp.get("/feedback")
@require_permission(Permission.AUDIT_READ)
@validate_query(FeedbackQuery)
@answers(FeedbackList)
def all_feedback(query: FeedbackQuery) -> FeedbackList:
    """All opinions in the tenant at hand. What was asked and answered stays its owner's."""
    tenant_id = current_principal().tenant_id
    found = use(Opinions).in_tenant(
        tenant_id, query.filters(), query.limit + 1, query.after_moment()
    )
    return _listed(found, query)


def _listed(found: Sequence[Opinion], page: PageQuery) -> FeedbackList:
    shown, next_cursor = cut_page(
        found, page.limit, lambda each: (each.updated_at.isoformat(), each.id)
    )
    return FeedbackList(items=[_shape(each) for each in shown], next_cursor=next_cursor)


def _shape(opinion: Opinion) -> FeedbackShape:
    return FeedbackShape.model_validate(opinion, from_attributes=True)
