"""Routes for hooks."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal, Self

from flask import Blueprint, Response
from pydantic import BaseModel, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.idempotency import idempotent_with_secret
from backend.chassis.web.openapi import request_example, responds_with
from backend.chassis.web.paging import PageQuery, paginate
from backend.security import (
    Input,
    Permission,
    require_permission,
    validate_input,
    validate_query,
)
from backend.services.chat.domain.hooks import HookService, HookView
from backend.services.chat.errors import ResourceNotFound
from backend.services.chat.routes.accounts import Name
from backend.services.chat.routes.request_caller import get_caller
from backend.services.chat.routes.schemas import Url

hooks = Blueprint("hooks", __name__)

HookEvent = Literal[
    "chat.message-created",
    "chat.message-edited",
    "chat.message-deleted",
    "chat.message-state-changed",
    "chat.conversation-created",
    "chat.conversation-changed",
    "chat.read-moved",
    "chat.reaction-changed",
    "chat.handed-over",
    "chat.account-changed",
]
HookEvents = Annotated[list[HookEvent], Field(min_length=1, max_length=20)]


class HookCreate(Input):
    """A URL that gets events as Standard Webhooks."""

    name: Name
    url: Url
    events: HookEvents


class HookUpdate(Input):
    """Changes of a hook."""

    name: Name | None = None
    url: Url | None = None
    events: HookEvents | None = None
    is_enabled: bool | None = None


class HookResponse(BaseModel):
    """A hook. It is disabled when its URL responds with 410, or accepts nothing for three days.

    `failures` counts the failed attempts since it last accepted an event.
    """

    id: str
    name: str
    url: str
    events: Sequence[str]
    is_enabled: bool
    disabled_reason: str | None
    failures: int
    failing_since: datetime | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def from_view(cls, view: HookView) -> Self:
        return cls.model_validate(view, from_attributes=True)


class HookWithSecret(HookResponse):
    """A new hook. `secret` is returned only once."""

    secret: str


class HookPage(BaseModel):
    items: Sequence[HookResponse]
    next_cursor: str | None


@hooks.get("/hooks")
@require_permission(Permission.CHAT_MANAGE)
@validate_query(PageQuery)
@responds_with(HookPage)
def list_hooks(page: PageQuery) -> HookPage:
    """List hooks, newest first."""
    rows = use(HookService).list_hooks(get_caller(), page.limit + 1, page.decode_time_cursor())
    items, cursor = paginate(rows, page.limit, lambda row: (row.created_at.isoformat(), row.id))
    return HookPage(items=[HookResponse.from_view(row) for row in items], next_cursor=cursor)


@hooks.post("/hooks")
@require_permission(Permission.CHAT_MANAGE)
@validate_input(HookCreate)
@idempotent_with_secret
@responds_with(HookWithSecret, 201)
@request_example(
    {
        "name": "CRM",
        "url": "https://crm.example.org/hook",
        "events": ["chat.message-created"],
    }
)
def create_hook(body: HookCreate) -> HookWithSecret:
    """Create a hook. Its secret, which signs the requests, is returned only once."""
    view, secret = use(HookService).create_hook(get_caller(), body.name, body.url, body.events)
    return HookWithSecret(secret=secret, **HookResponse.from_view(view).model_dump())


@hooks.patch("/hooks/<hook_id>")
@require_permission(Permission.CHAT_MANAGE)
@validate_input(HookUpdate)
@responds_with(HookResponse, errors=(ResourceNotFound,))
@request_example({"is_enabled": True})
def update_hook(body: HookUpdate, hook_id: str) -> HookResponse:
    """Change a hook, or enable it again."""
    view = use(HookService).update_hook(
        get_caller(), hook_id, body.name, body.url, body.events, is_enabled=body.is_enabled
    )
    return HookResponse.from_view(view)


@hooks.delete("/hooks/<hook_id>")
@require_permission(Permission.CHAT_MANAGE)
@responds_with(status=204, errors=(ResourceNotFound,))
def delete_hook(hook_id: str) -> None:
    """Delete a hook."""
    use(HookService).delete_hook(get_caller(), hook_id)


@hooks.after_request
def disable_caching(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response
