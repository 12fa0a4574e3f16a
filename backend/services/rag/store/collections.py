"""Collections and who may read and write them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    ForeignKey,
    Select,
    String,
    UniqueConstraint,
    and_,
    or_,
    select,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from backend.chassis.database.sessions import UtcDateTime
from backend.services.rag.errors import CollectionExists
from backend.services.rag.store.base import Base, new_id, utc_now

Access = Literal["none", "read", "write"]


class CollectionRow(Base):
    __tablename__ = "collections"
    # By owner, not by tenant: a name that is taken must not tell what others keep privately.
    __table_args__ = (UniqueConstraint("tenant_id", "owner_id", "name"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True, default=lambda: new_id("col"))
    tenant_id: Mapped[str] = mapped_column(String(64))
    owner_id: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(64))
    description: Mapped[str] = mapped_column(String(1000), default="")
    tenant_access: Mapped[Access] = mapped_column(String(8), default="none")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    # The number of the latest change to what stands in it; see store/changes.py.
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


def readable_by(tenant_id: str, user_id: str) -> ColumnElement[bool]:
    """The condition under which a collection exists for *user_id* at all."""
    granted = select(GrantRow.collection_id).where(GrantRow.user_id == user_id)
    return and_(
        CollectionRow.tenant_id == tenant_id,
        or_(
            CollectionRow.owner_id == user_id,
            CollectionRow.tenant_access != "none",
            CollectionRow.id.in_(granted),
        ),
    )


def readable(
    session: Session, tenant_id: str, user_id: str, named: str | None = None
) -> Sequence[CollectionRow]:
    """What the user may read, their own first; *named* is a name or an id."""
    return session.scalars(_own_first(select(CollectionRow), tenant_id, user_id, named)).all()


def versions(
    session: Session, tenant_id: str, user_id: str, named: str | None = None
) -> Sequence[tuple[str, int]]:
    """Ids and versions of the same, without all else that is known of them."""
    query = select(CollectionRow.id, CollectionRow.version)
    rows = session.execute(_own_first(query, tenant_id, user_id, named))
    return [(row[0], row[1]) for row in rows]


def _own_first(query: Select[Any], tenant_id: str, user_id: str, named: str | None) -> Select[Any]:
    query = query.where(readable_by(tenant_id, user_id))
    if named is not None:
        query = query.where(or_(CollectionRow.name == named, CollectionRow.id == named))
    return query.order_by(CollectionRow.owner_id != user_id, CollectionRow.id)


def named(session: Session, named: str) -> Sequence[CollectionRow]:
    """Whosever they are: for the operator."""
    query = select(CollectionRow).where(or_(CollectionRow.name == named, CollectionRow.id == named))
    return session.scalars(query.order_by(CollectionRow.id)).all()


def every(session: Session) -> Sequence[CollectionRow]:
    return session.scalars(select(CollectionRow).order_by(CollectionRow.id)).all()


def of_owner(session: Session, tenant_id: str, owner_id: str, name: str) -> CollectionRow | None:
    return session.scalar(
        select(CollectionRow).where(
            CollectionRow.tenant_id == tenant_id,
            CollectionRow.owner_id == owner_id,
            CollectionRow.name == name,
        )
    )


def page(
    session: Session, tenant_id: str, user_id: str, after: str | None, limit: int
) -> Sequence[CollectionRow]:
    query = select(CollectionRow).where(readable_by(tenant_id, user_id))
    if after is not None:
        query = query.where(CollectionRow.id > after)
    return session.scalars(query.order_by(CollectionRow.id).limit(limit)).all()


def add(session: Session, row: CollectionRow) -> None:
    """Add *row*, or raise CollectionExists."""
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError as error:
        raise CollectionExists from error


def rename(session: Session, row: CollectionRow, name: str) -> None:
    """Give *row* another name, or raise CollectionExists."""
    try:
        with session.begin_nested():
            row.name = name
    except IntegrityError as error:
        raise CollectionExists from error
