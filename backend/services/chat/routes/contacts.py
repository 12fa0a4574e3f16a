"""Routes for contacts."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Self

from flask import Blueprint
from pydantic import BaseModel, Field, StringConstraints

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import request_example, responds_with
from backend.chassis.web.paging import PageQuery, paginate
from backend.security import (
    Input,
    Permission,
    require_permission,
    validate_input,
    validate_query,
)
from backend.services.chat.domain.contacts import ContactService, ContactView
from backend.services.chat.errors import InvalidContent, ResourceNotFound
from backend.services.chat.routes.request_caller import get_caller
from backend.services.chat.routes.schemas import Identifier

contacts = Blueprint("contacts", __name__, url_prefix="/contacts")

AttributeName = Annotated[str, Field(min_length=1, max_length=64)]
AttributeValue = Annotated[str, Field(max_length=1000)]


class ContactListQuery(PageQuery):
    """`q` is a text in the name or in an id of the contact."""

    q: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class ContactUpdate(Input):
    """Changes of a contact. Messages of a blocked one are ignored."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)] | None = None
    is_blocked: bool | None = None
    attributes: Annotated[dict[AttributeName, AttributeValue], Field(max_length=50)] | None = None


class ContactMerge(Input):
    """The contact that gets the identities and conversations."""

    into_id: Identifier


class ContactLink(Input):
    """The user that the contact is; null for none. It grants no permissions."""

    user_id: Identifier | None


class IdentityResponse(BaseModel):
    """An id of a contact at an account."""

    account_id: str
    scheme: str
    value: str


class ContactResponse(BaseModel):
    """A person outside the suite."""

    id: str
    name: str
    user_id: str | None
    is_blocked: bool
    preferences: Mapping[str, Any]
    attributes: Mapping[str, Any]
    identities: Sequence[IdentityResponse]
    created_at: datetime
    updated_at: datetime

    @classmethod
    def from_view(cls, view: ContactView) -> Self:
        return cls.model_validate(view, from_attributes=True)


class ContactPage(BaseModel):
    items: Sequence[ContactResponse]
    next_cursor: str | None


@contacts.get("")
@require_permission(Permission.CHAT_MANAGE)
@validate_query(ContactListQuery)
@responds_with(ContactPage)
def list_contacts(query: ContactListQuery) -> ContactPage:
    """List contacts, newest first."""
    rows = use(ContactService).list_contacts(
        get_caller(), query.limit + 1, query.decode_time_cursor(), query.q
    )
    items, cursor = paginate(rows, query.limit, lambda row: (row.created_at.isoformat(), row.id))
    return ContactPage(items=[ContactResponse.from_view(row) for row in items], next_cursor=cursor)


@contacts.get("/<contact_id>")
@require_permission(Permission.CHAT_MANAGE)
@responds_with(ContactResponse, errors=(ResourceNotFound,))
def get_contact(contact_id: str) -> ContactResponse:
    """Get a contact. The id of a merged one returns the one it was merged into."""
    return ContactResponse.from_view(use(ContactService).get_contact(get_caller(), contact_id))


@contacts.patch("/<contact_id>")
@require_permission(Permission.CHAT_MANAGE)
@validate_input(ContactUpdate)
@responds_with(ContactResponse, errors=(ResourceNotFound,))
@request_example({"name": "Ada Lovelace", "attributes": {"company": "Analytical Engines"}})
def update_contact(body: ContactUpdate, contact_id: str) -> ContactResponse:
    """Change name or attributes of a contact, or block it."""
    view = use(ContactService).update_contact(
        get_caller(), contact_id, body.name, body.attributes, is_blocked=body.is_blocked
    )
    return ContactResponse.from_view(view)


@contacts.post("/<contact_id>/merge")
@require_permission(Permission.CHAT_MANAGE)
@validate_input(ContactMerge)
@responds_with(ContactResponse, errors=(ResourceNotFound, InvalidContent))
@request_example({"into_id": "cont_01a22900749f7e0f26155c57fe78"})
def merge_contacts(body: ContactMerge, contact_id: str) -> ContactResponse:
    """Merge a contact into another one, which is returned."""
    view = use(ContactService).merge_contacts(get_caller(), contact_id, body.into_id)
    return ContactResponse.from_view(view)


@contacts.post("/<contact_id>/link")
@require_permission(Permission.CHAT_MANAGE)
@validate_input(ContactLink)
@responds_with(ContactResponse, errors=(ResourceNotFound,))
@request_example({"user_id": "9f86d081884c7d659a2feaa0c55ad015"})
def link_contact(body: ContactLink, contact_id: str) -> ContactResponse:
    """Link a contact to a user of the suite, which grants no permissions."""
    view = use(ContactService).link_user(get_caller(), contact_id, body.user_id)
    return ContactResponse.from_view(view)


@contacts.delete("/<contact_id>")
@require_permission(Permission.CHAT_MANAGE)
@responds_with(status=204, errors=(ResourceNotFound,))
def erase_contact(contact_id: str) -> None:
    """Erase a contact: its conversations, and its messages and reactions in groups."""
    use(ContactService).erase_contact(get_caller(), contact_id)
