"""Collections and their access rights."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal, TypeVar

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    ForeignKey,
    Select,
    String,
    UniqueConstraint,
    and_,
    bindparam,
    delete,
    or_,
    select,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from backend.chassis.database.statements import CompiledStatement
from backend.chassis.database.types import UtcDateTime
from backend.services.rag.errors import CollectionExists
from backend.services.rag.store.base import Base, new_id, utc_now

Access = Literal["none", "read", "write"]
# Owner of collections whose documents are being deleted. No user has this id.
HIDDEN_OWNER: Final = ""

_Row = TypeVar("_Row", bound=tuple[Any, ...])


class CollectionRow(Base):
    __tablename__ = "collections"
    # Names are unique per owner, not per tenant: a conflict must not reveal private collections of
    # other users.
    __table_args__ = (UniqueConstraint("tenant_id", "owner_id", "name"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True, default=lambda: new_id("col"))
    tenant_id: Mapped[str] = mapped_column(String(64))
    owner_id: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(64))
    description: Mapped[str] = mapped_column(String(1000), default="")
    tenant_access: Mapped[Access] = mapped_column(String(8), default="none")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    # Number of the latest change to its documents; see collection_changes.py.
    version: Mapped[int] = mapped_column(default=0)
    grants: Mapped[list["GrantRow"]] = relationship(
        cascade="all, delete-orphan", passive_deletes=True, lazy="selectin"
    )


class GrantRow(Base):
    __tablename__ = "collection_grants"

    collection_id: Mapped[str] = mapped_column(
        ForeignKey("collections.id", ondelete="CASCADE"), primary_key=True
    )
    user_id: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)
    access: Mapped[Access] = mapped_column(String(8))


def is_readable_by(
    tenant_id: str | BindParameter[str], user_id: str | BindParameter[str]
) -> ColumnElement[bool]:
    """Return the condition that *user_id* may read a collection.

    For this user, all other collections are treated as missing.
    """
    granted = select(GrantRow.collection_id).where(GrantRow.user_id == user_id)
    return and_(
        CollectionRow.tenant_id == tenant_id,
        or_(
            CollectionRow.owner_id == user_id,
            CollectionRow.tenant_access != "none",
            CollectionRow.id.in_(granted),
        ),
    )


def list_readable_collections(
    session: Session, tenant_id: str, user_id: str, name_or_id: str | None = None
) -> Sequence[CollectionRow]:
    """Return the collections that the user may read, their own first.

    Args:
        name_or_id: restricts the result to collections with this name or id.
    """
    query = _filter_readable(select(CollectionRow), tenant_id, user_id)
    if name_or_id is not None:
        query = query.where(_has_name_or_id(name_or_id))
    return session.scalars(query).all()


def list_collection_versions(
    session: Session, tenant_id: str, user_id: str, name_or_id: str | None = None
) -> Sequence[tuple[str, int]]:
    """Return id and version of the collections that list_readable_collections() returns."""
    values = {"tenant_id": tenant_id, "user_id": user_id}
    if name_or_id is None:
        rows = _READABLE_VERSIONS.execute(session, values)
    else:
        rows = _NAMED_VERSIONS.execute(session, values | {"name_or_id": name_or_id})
    return [(row[0], row[1]) for row in rows]


def _filter_readable(
    query: Select[_Row], tenant_id: str | BindParameter[str], user_id: str | BindParameter[str]
) -> Select[_Row]:
    return query.where(is_readable_by(tenant_id, user_id)).order_by(
        CollectionRow.owner_id != user_id, CollectionRow.id
    )


def _has_name_or_id(name_or_id: str | BindParameter[str]) -> ColumnElement[bool]:
    return or_(CollectionRow.name == name_or_id, CollectionRow.id == name_or_id)


_VERSIONS: Final = _filter_readable(
    select(CollectionRow.id, CollectionRow.version),
    bindparam("tenant_id", type_=String),
    bindparam("user_id", type_=String),
)
# Compiled, because each search executes one of them.
_READABLE_VERSIONS: Final = CompiledStatement(_VERSIONS)
_NAMED_VERSIONS: Final = CompiledStatement(
    _VERSIONS.where(_has_name_or_id(bindparam("name_or_id", type_=String)))
)


def list_collections_by_name_or_id(session: Session, name_or_id: str) -> Sequence[CollectionRow]:
    """Return collections of all tenants and owners, for operators."""
    query = select(CollectionRow).where(_has_name_or_id(name_or_id))
    return session.scalars(query.order_by(CollectionRow.id)).all()


def list_all_collections(session: Session) -> Sequence[CollectionRow]:
    return session.scalars(select(CollectionRow).order_by(CollectionRow.id)).all()


def list_tenant_collections(session: Session, tenant_id: str) -> list[str]:
    """Return the ids of all collections of the tenant."""
    query = select(CollectionRow.id).where(CollectionRow.tenant_id == tenant_id)
    return list(session.scalars(query.order_by(CollectionRow.id)))


def get_collection_by_name(
    session: Session, tenant_id: str, owner_id: str, name: str
) -> CollectionRow | None:
    return session.scalar(
        select(CollectionRow).where(
            CollectionRow.tenant_id == tenant_id,
            CollectionRow.owner_id == owner_id,
            CollectionRow.name == name,
        )
    )


def list_collections(
    session: Session, tenant_id: str, user_id: str, after_id: str | None, limit: int
) -> Sequence[CollectionRow]:
    query = select(CollectionRow).where(is_readable_by(tenant_id, user_id))
    if after_id is not None:
        query = query.where(CollectionRow.id > after_id)
    return session.scalars(query.order_by(CollectionRow.id).limit(limit)).all()


def add_collection(session: Session, row: CollectionRow) -> None:
    """Insert *row*. Raises CollectionExists."""
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError as error:
        raise CollectionExists from error


def hide_collection(session: Session, row: CollectionRow) -> None:
    """Make the collection unreadable for every user, and its name available.

    `documents.delete_hidden_collection_later` schedules the deletion of its documents.
    """
    row.owner_id, row.tenant_access, row.grants = HIDDEN_OWNER, "none", []
    row.name, row.description = row.id, ""
    session.flush()


def add_hidden_collection(session: Session, tenant_id: str) -> CollectionRow:
    """Create a collection that no user can read."""
    identity = new_id("col")
    row = CollectionRow(id=identity, tenant_id=tenant_id, owner_id=HIDDEN_OWNER, name=identity)
    session.add(row)
    session.flush()
    return row


def delete_hidden_collection(session: Session, collection_id: str) -> None:
    """Delete the row of a hidden collection, which has no documents any more."""
    session.execute(
        delete(CollectionRow).where(
            CollectionRow.id == collection_id, CollectionRow.owner_id == HIDDEN_OWNER
        )
    )


def rename_collection(session: Session, row: CollectionRow, name: str) -> None:
    """Rename *row*. Raises CollectionExists."""
    try:
        with session.begin_nested():
            row.name = name
    except IntegrityError as error:
        raise CollectionExists from error
