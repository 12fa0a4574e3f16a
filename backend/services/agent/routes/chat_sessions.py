"""Route with which the chat service deletes the sessions of its conversations."""

from typing import Annotated

from flask import Blueprint
from pydantic import Field

from backend.chassis.catalog import get_service
from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import request_example, responds_with
from backend.security import HttpError, Input, internal_only, validate_input
from backend.security.authentication import calling_service
from backend.services.agent.domain.conversations.chat_sessions import ChatSessionDeletion

bp = Blueprint("chat_sessions", __name__)

SessionId = Annotated[str, Field(min_length=1, max_length=64)]


class SessionDeletion(Input):
    """Ids of sessions."""

    ids: Annotated[list[SessionId], Field(min_length=1, max_length=100)]


@bp.post("/internal/sessions/delete")
@internal_only
@validate_input(SessionDeletion)
@responds_with(status=204)
@request_example({"ids": ["conv_01a22900749f7e0f26155c57fe78"]})
def delete_sessions(body: SessionDeletion) -> None:
    """Delete sessions of conversations that the chat service has deleted."""
    if calling_service() != get_service("chat").full_name:
        raise HttpError(403, "internal_only", "Forbidden", "Only the chat service may call this.")
    use(ChatSessionDeletion).delete_sessions(body.ids)
