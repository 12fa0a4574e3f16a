"""Endpoints for collections and their grants."""

from datetime import datetime
from typing import Annotated, Literal, Self

from flask import Blueprint
from pydantic import BaseModel, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.idempotency import idempotent
from backend.chassis.web.openapi import request_example, responds_with
from backend.chassis.web.paging import PageQuery
from backend.security import (
    Input,
    Permission,
    invalid_field,
    require_permission,
    validate_input,
    validate_query,
)
from backend.services.rag.domain.collections import Collection, CollectionService
from backend.services.rag.errors import CollectionExists, CollectionNotFound, NotCollectionOwner
from backend.services.rag.routes.access import cursor_key, get_viewer

collections = Blueprint("collections", __name__)

# Letters and digits of any script, with spaces, dots and hyphens between them.
COLLECTION_NAME = r"^\w(?:[\w .-]{0,62}\w)?$"
Name = Annotated[str, Field(pattern=COLLECTION_NAME)]
# Text with line breaks and tabs, but no other control characters.
_MULTILINE_TEXT = r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]*$"
Description = Annotated[str, Field(max_length=1000, pattern=_MULTILINE_TEXT)]
_MAX_USER_ID_CHARACTERS = 64
AccessLevel = Literal["none", "read", "write"]


class CollectionCreate(Input):
    name: Name
    description: Description = ""
    tenant_access: AccessLevel = "none"


class CollectionUpdate(Input):
    name: Name | None = None
    description: Description | None = None
    tenant_access: AccessLevel | None = None


class GrantPut(Input):
    access: Literal["read", "write"]


class CollectionResponse(BaseModel):
    """A collection. `access` is the caller's access; `grants` is empty unless they own it."""

    id: str
    name: str
    description: str
    owner_id: str
    tenant_access: AccessLevel
    access: AccessLevel
    grants: dict[str, AccessLevel]
    created_at: datetime

    @classmethod
    def from_collection(cls, collection: Collection) -> Self:
        return cls.model_validate(collection, from_attributes=True)


class CollectionPage(BaseModel):
    items: list[CollectionResponse]
    next_cursor: str | None


@collections.get("/collections")
@require_permission(Permission.RAG_READ)
@validate_query(PageQuery)
@responds_with(CollectionPage)
def list_collections(query: PageQuery) -> CollectionPage:
    """List the caller's collections and those shared with them."""
    page, cursor = use(CollectionService).list_collections(
        get_viewer(), cursor_key(query), query.limit
    )
    return CollectionPage(
        items=[CollectionResponse.from_collection(collection) for collection in page],
        next_cursor=cursor,
    )


@collections.post("/collections")
@require_permission(Permission.RAG_WRITE)
@validate_input(CollectionCreate)
@idempotent
@responds_with(CollectionResponse, 201, errors=(CollectionExists,))
@request_example({"name": "reports", "description": "Annual reports"})
def create_collection(body: CollectionCreate) -> CollectionResponse:
    """Create a collection. It is private unless `tenant_access` is set."""
    collection = use(CollectionService).create_collection(
        get_viewer(), body.name, body.description, body.tenant_access
    )
    return CollectionResponse.from_collection(collection)


@collections.get("/collections/<name>")
@require_permission(Permission.RAG_READ)
@responds_with(CollectionResponse, errors=(CollectionNotFound,))
@request_example(name="reports")
def get_collection(name: str) -> CollectionResponse:
    """Get a collection by name or id."""
    return CollectionResponse.from_collection(
        use(CollectionService).get_collection(get_viewer(), name)
    )


@collections.patch("/collections/<name>")
@require_permission(Permission.RAG_WRITE)
@validate_input(CollectionUpdate)
@responds_with(
    CollectionResponse, errors=(CollectionNotFound, CollectionExists, NotCollectionOwner)
)
@request_example({"description": "Annual and quarterly reports"}, name="reports")
def update_collection(body: CollectionUpdate, name: str) -> CollectionResponse:
    """Change the name, the description, or the access of all users of the tenant."""
    collection = use(CollectionService).update_collection(
        get_viewer(),
        name,
        name=body.name,
        description=body.description,
        tenant_access=body.tenant_access,
    )
    return CollectionResponse.from_collection(collection)


@collections.delete("/collections/<name>")
@require_permission(Permission.RAG_WRITE)
@responds_with(None, 204, errors=(CollectionNotFound, NotCollectionOwner))
@request_example(name="reports")
def delete_collection(name: str) -> None:
    """Delete a collection and all of its documents."""
    use(CollectionService).delete_collection(get_viewer(), name)


@collections.put("/collections/<name>/grants/<user_id>")
@require_permission(Permission.RAG_WRITE)
@validate_input(GrantPut)
@responds_with(CollectionResponse, errors=(CollectionNotFound, NotCollectionOwner))
@request_example({"access": "read"}, name="reports")
def put_grant(body: GrantPut, name: str, user_id: str) -> CollectionResponse:
    """Give a user of the tenant read or write access to the collection."""
    if len(user_id) > _MAX_USER_ID_CHARACTERS:
        raise invalid_field(
            "#/user_id", f"A user id has at most {_MAX_USER_ID_CHARACTERS} characters."
        )
    collection = use(CollectionService).grant_access(get_viewer(), name, user_id, body.access)
    return CollectionResponse.from_collection(collection)


@collections.delete("/collections/<name>/grants/<user_id>")
@require_permission(Permission.RAG_WRITE)
@responds_with(None, 204, errors=(CollectionNotFound, NotCollectionOwner))
@request_example(name="reports")
def delete_grant(name: str, user_id: str) -> None:
    """Revoke the access of a user."""
    use(CollectionService).revoke_access(get_viewer(), name, user_id)
