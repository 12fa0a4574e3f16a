"""Routes for the message templates of accounts."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from flask import Blueprint
from pydantic import BaseModel

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import request_example, responds_with
from backend.chassis.web.paging import PageQuery, paginate
from backend.security import Input, Permission, require_permission, validate_input, validate_query
from backend.services.chat.domain.templates import TemplateService
from backend.services.chat.errors import ProviderFailed, ResourceNotFound, TemplatesNotListed
from backend.services.chat.routes.request_caller import get_caller
from backend.services.chat.routes.schemas import Identifier

templates = Blueprint("templates", __name__, url_prefix="/templates")


class TemplateListQuery(PageQuery):
    """Filter of the templates."""

    account_id: Identifier | None = None


class TemplateResponse(BaseModel):
    """A message template of an account, as its provider lists it.

    `status` is the provider's in lower case, such as approved, pending, rejected or paused;
    `reason` says why the provider has rejected it.
    """

    id: str
    account_id: str
    name: str
    language: str
    category: str
    status: str
    reason: str | None
    components: Sequence[Mapping[str, Any]]
    synced_at: datetime


class TemplatePage(BaseModel):
    items: Sequence[TemplateResponse]
    next_cursor: str | None


class TemplateSyncRequest(Input):
    """The WhatsApp account whose templates are read from the provider."""

    account_id: Identifier


class TemplateSyncResponse(BaseModel):
    """Numbers of templates that the provider lists, and of those that it lists no longer."""

    account_id: str
    listed: int
    removed: int
    synced_at: datetime


@templates.get("")
@require_permission(Permission.CHAT_REPLY)
@validate_query(TemplateListQuery)
@responds_with(TemplatePage)
def list_templates(query: TemplateListQuery) -> TemplatePage:
    """List the message templates of the tenant's accounts."""
    cursor = query.decode_cursor()
    rows = use(TemplateService).list_templates(
        get_caller(), query.account_id, query.limit + 1, cursor[0] if cursor else None
    )
    items, next_cursor = paginate(rows, query.limit, lambda row: (row.id,))
    return TemplatePage(
        items=[TemplateResponse.model_validate(row, from_attributes=True) for row in items],
        next_cursor=next_cursor,
    )


@templates.post("/sync")
@require_permission(Permission.CHAT_MANAGE)
@validate_input(TemplateSyncRequest)
@responds_with(TemplateSyncResponse, errors=(ResourceNotFound, TemplatesNotListed, ProviderFailed))
@request_example({"account_id": "acc_01a22900749f7e0f26155c57fe78"})
def sync_templates(body: TemplateSyncRequest) -> TemplateSyncResponse:
    """Update the templates of a WhatsApp account from the provider.

    The setting `business_account_id` of the account names the WhatsApp Business account.
    """
    result = use(TemplateService).sync_templates(get_caller(), body.account_id)
    return TemplateSyncResponse.model_validate(result, from_attributes=True)
