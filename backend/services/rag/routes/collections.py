"""Collections over HTTP."""

from datetime import datetime
from typing import Annotated, Literal, Self

from flask import Blueprint
from pydantic import BaseModel, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.idempotency import idempotent
from backend.chassis.web.openapi import answers
from backend.chassis.web.paging import PageQuery
from backend.security import (
    Input,
    Permission,
    invalid_field,
    require_permission,
    validate_input,
    validate_query,
)
from backend.services.rag.domain.collections import Collection, Collections
from backend.services.rag.errors import CollectionExists, CollectionNotFound, NotTheOwner
from backend.services.rag.routes.reader import behind, reader

collections = Blueprint("collections", __name__)

# Letters and digits of any script; blanks, dots and hyphens inside.
COLLECTION_NAME = r"^\w(?:[\w .-]{0,62}\w)?$"
Name = Annotated[str, Field(pattern=COLLECTION_NAME)]
# Lines of text, with no control characters but their ends and tabs.
_LINES = r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]*$"
Description = Annotated[str, Field(max_length=1000, pattern=_LINES)]
_MOST_USER_ID = 64
Share = Literal["none", "read", "write"]


class NewCollection(Input):
    name: Name
    description: Description = ""
    tenant_access: Share = "none"


class CollectionChange(Input):
    name: Name | None = None
    description: Description | None = None
    tenant_access: Share | None = None


class NewGrant(Input):
    access: Literal["read", "write"]


class CollectionOut(BaseModel):
    """`access` is the caller's own; `grants` is shown to the owner alone."""

    id: str
    name: str
    description: str
    owner_id: str
    tenant_access: Share
    access: Share
    grants: dict[str, Share]
    created_at: datetime

    @classmethod
    def of(cls, collection: Collection) -> Self:
        return cls.model_validate(collection, from_attributes=True)


class CollectionPage(BaseModel):
    items: list[CollectionOut]
    next_cursor: str | None


@collections.get("/collections")
@require_permission(Permission.RAG_READ)
@validate_query(PageQuery)
@answers(CollectionPage)
def list_collections(query: PageQuery) -> CollectionPage:
    """The caller's collections and those shared with them."""
    found, cursor = use(Collections).page(reader(), behind(query), query.limit)
    return CollectionPage(items=[CollectionOut.of(each) for each in found], next_cursor=cursor)


@collections.post("/collections")
@require_permission(Permission.RAG_WRITE)
@validate_input(NewCollection)
@idempotent
@answers(CollectionOut, 201, errors=(CollectionExists,))
def add_collection(new: NewCollection) -> CollectionOut:
    """Make a collection. It is private unless `tenant_access` says otherwise."""
    return CollectionOut.of(
        use(Collections).add(reader(), new.name, new.description, new.tenant_access)
    )


@collections.get("/collections/<name>")
@require_permission(Permission.RAG_READ)
@answers(CollectionOut, errors=(CollectionNotFound,))
def show_collection(name: str) -> CollectionOut:
    """One collection, by name or id."""
    return CollectionOut.of(use(Collections).find(reader(), name))


@collections.patch("/collections/<name>")
@require_permission(Permission.RAG_WRITE)
@validate_input(CollectionChange)
@answers(CollectionOut, errors=(CollectionNotFound, CollectionExists, NotTheOwner))
def change_collection(change: CollectionChange, name: str) -> CollectionOut:
    """Rename, describe, or share with everyone of the tenant."""
    return CollectionOut.of(
        use(Collections).change(
            reader(),
            name,
            name=change.name,
            description=change.description,
            tenant_access=change.tenant_access,
        )
    )


@collections.delete("/collections/<name>")
@require_permission(Permission.RAG_WRITE)
@answers(None, 204, errors=(CollectionNotFound, NotTheOwner))
def delete_collection(name: str) -> None:
    """Delete a collection and every document in it."""
    use(Collections).delete(reader(), name)


@collections.put("/collections/<name>/grants/<user_id>")
@require_permission(Permission.RAG_WRITE)
@validate_input(NewGrant)
@answers(CollectionOut, errors=(CollectionNotFound, NotTheOwner))
def grant(new: NewGrant, name: str, user_id: str) -> CollectionOut:
    """Let one user of the tenant read the collection, or write to it."""
    if len(user_id) > _MOST_USER_ID:
        raise invalid_field("#/user_id", "This is no user's id.")
    return CollectionOut.of(use(Collections).grant(reader(), name, user_id, new.access))


@collections.delete("/collections/<name>/grants/<user_id>")
@require_permission(Permission.RAG_WRITE)
@answers(None, 204, errors=(CollectionNotFound, NotTheOwner))
def revoke(name: str, user_id: str) -> None:
    """Take a user's grant back."""
    use(Collections).revoke(reader(), name, user_id)
