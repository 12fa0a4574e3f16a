"""Tables of tenants and memberships. The caller owns the transaction."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Final

from sqlalchemy import ForeignKey, String, bindparam, delete, exists, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.types import UtcDateTime
from backend.services.auth.errors import SlugTaken
from backend.services.auth.store.base import Base, generate_id


class Tenant(Base):
    """A tenant."""

    __tablename__ = "tenants"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=generate_id)
    slug: Mapped[str] = mapped_column(String(63), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    # A personal tenant is created with its owner's account and has no other members.
    personal: Mapped[bool] = mapped_column(default=False)
    generation: Mapped[int] = mapped_column(default=0)
    generation_raised_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    # The row stays after deletion, because its generation still invalidates the tenant's tokens.
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Membership(Base):
    """One role of one user in one tenant. A user without any role is not a member."""

    __tablename__ = "memberships"

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True, index=True)
    role: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


_LIST_USER_TENANTS: Final = (
    select(Tenant, Membership.role)
    .join(Membership, Membership.tenant_id == Tenant.id)
    .where(Membership.user_id == bindparam("user_id"))
    .order_by(Membership.created_at, Tenant.id, Membership.role)
)


@dataclass(frozen=True, slots=True)
class TenantRoles:
    """A tenant and one user's roles in it."""

    tenant: Tenant
    roles: tuple[str, ...]


def add_tenant(session: Session, tenant: Tenant) -> None:
    """Insert *tenant*.

    Raises:
        SlugTaken: another tenant has this slug.
    """
    try:
        with session.begin_nested():
            session.add(tenant)
    except IntegrityError as error:
        raise SlugTaken from error


def get_tenant(session: Session, tenant_id: str) -> Tenant | None:
    """Return the tenant, or None if it does not exist or is deleted."""
    return session.scalar(select(Tenant).where(Tenant.id == tenant_id, Tenant.deleted_at.is_(None)))


def mark_deleted(session: Session, tenant: Tenant, now: datetime) -> int:
    """Mark *tenant* as deleted and remove its members. Its slug becomes available again.

    Returns:
        The raised generation, which invalidates all tokens for the tenant.
    """
    session.execute(delete(Membership).where(Membership.tenant_id == tenant.id))
    tenant.slug = f"deleted:{tenant.id}"
    tenant.deleted_at = tenant.generation_raised_at = now
    tenant.generation += 1
    session.flush()
    return tenant.generation


def is_slug_taken(session: Session, slug: str) -> bool:
    return bool(session.scalar(select(exists().where(Tenant.slug == slug))))


def find_tenant_by_slug(session: Session, slug: str) -> Tenant | None:
    return session.scalar(select(Tenant).where(Tenant.slug == slug))


def list_tenants(
    session: Session, tenant_id: str | None, after: str | None, limit: int
) -> Sequence[Tenant]:
    """Return up to *limit* tenants, ordered by slug.

    Args:
        tenant_id: return only this tenant; None for all.
        after: slug of the last tenant on the previous page.
    """
    query = select(Tenant).where(Tenant.deleted_at.is_(None)).order_by(Tenant.slug).limit(limit)
    if tenant_id is not None:
        query = query.where(Tenant.id == tenant_id)
    if after is not None:
        query = query.where(Tenant.slug > after)
    return session.scalars(query).all()


def grant_roles(
    session: Session, tenant_id: str, user_id: str, roles: Iterable[str], now: datetime
) -> None:
    session.add_all(
        Membership(tenant_id=tenant_id, user_id=user_id, role=role, created_at=now)
        for role in roles
    )
    session.flush()


def get_memberships(
    session: Session, tenant_id: str, user_ids: Collection[str]
) -> dict[str, tuple[tuple[str, ...], datetime]]:
    """Return each member's roles in the tenant and the start of the membership, by user id."""
    rows = session.scalars(
        select(Membership)
        .where(Membership.tenant_id == tenant_id, Membership.user_id.in_(user_ids))
        .order_by(Membership.user_id, Membership.role)
    )
    memberships = {}
    for user_id, group in groupby(rows, key=attrgetter("user_id")):
        roles = list(group)
        memberships[user_id] = (
            tuple(row.role for row in roles),
            min(row.created_at for row in roles),
        )
    return memberships


def get_membership(
    session: Session, tenant_id: str, user_id: str
) -> tuple[tuple[str, ...], datetime] | None:
    """Return the user's roles in the tenant and the start of the membership.

    Returns None if the user is not a member.
    """
    return get_memberships(session, tenant_id, [user_id]).get(user_id)


def get_roles(session: Session, tenant_id: str, user_id: str) -> tuple[str, ...]:
    membership = get_membership(session, tenant_id, user_id)
    return membership[0] if membership else ()


def replace_roles(
    session: Session, tenant_id: str, user_id: str, roles: Iterable[str], now: datetime
) -> None:
    """Replace the user's roles in the tenant. The start of the membership is preserved."""
    membership = get_membership(session, tenant_id, user_id)
    session.execute(
        delete(Membership).where(Membership.tenant_id == tenant_id, Membership.user_id == user_id)
    )
    since = membership[1] if membership else now
    grant_roles(session, tenant_id, user_id, dict.fromkeys(roles), since)


def delete_user_memberships(session: Session, user_id: str) -> None:
    session.execute(delete(Membership).where(Membership.user_id == user_id))


def get_user_ids_with_role(session: Session, role: str, tenant_id: str | None) -> Sequence[str]:
    """Return the ids of users that have *role* in the tenant, or in any tenant if None."""
    query = select(Membership.user_id).where(Membership.role == role).distinct()
    if tenant_id is not None:
        query = query.where(Membership.tenant_id == tenant_id)
    return session.scalars(query).all()


def lock_role_memberships(session: Session, role: str) -> None:
    """Lock all memberships with *role* until the transaction ends, so none can be removed."""
    session.execute(
        select(Membership)
        .where(Membership.role == role)
        .order_by(Membership.user_id)
        .with_for_update()
    )


def list_user_tenants(session: Session, user_id: str) -> list[TenantRoles]:
    """Return the tenants of the user, ordered by the start of the membership."""
    rows = session.execute(_LIST_USER_TENANTS, {"user_id": user_id})
    roles_by_tenant: dict[str, tuple[Tenant, list[str]]] = {}
    for tenant, role in rows:
        roles_by_tenant.setdefault(tenant.id, (tenant, []))[1].append(role)
    return [TenantRoles(tenant, tuple(roles)) for tenant, roles in roles_by_tenant.values()]


def is_role_assigned(session: Session, role: str) -> bool:
    return bool(session.scalar(select(exists().where(Membership.role == role))))


def get_tenant_generations_raised_since(session: Session, since: datetime) -> dict[str, int]:
    rows = session.execute(
        select(Tenant.id, Tenant.generation).where(Tenant.generation_raised_at >= since)
    )
    return dict(rows.tuples().all())
