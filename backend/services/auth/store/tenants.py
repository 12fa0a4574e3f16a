"""Tenants, and who holds which role in them. The caller owns the transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ForeignKey, String, delete, exists, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.sessions import UtcDateTime
from backend.services.auth.errors import SlugTaken
from backend.services.auth.store.base import Base, new_id


class Tenant(Base):
    __tablename__ = "tenants"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    slug: Mapped[str] = mapped_column(String(63), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    # A personal tenant came with its owner and takes in nobody else.
    personal: Mapped[bool] = mapped_column(default=False)
    generation: Mapped[int] = mapped_column(default=0)
    generation_raised_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Membership(Base):
    """One role of one user in one tenant; whoever has none is no member."""

    __tablename__ = "memberships"

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True, index=True)
    role: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


@dataclass(frozen=True, slots=True)
class TenantRoles:
    """A tenant and the roles that one user has in it."""

    tenant: Tenant
    roles: tuple[str, ...]


def add(session: Session, tenant: Tenant) -> None:
    """Add *tenant*, or raise SlugTaken."""
    try:
        with session.begin_nested():
            session.add(tenant)
    except IntegrityError as error:
        raise SlugTaken from error


def get(session: Session, tenant_id: str) -> Tenant | None:
    return session.get(Tenant, tenant_id)


def slug_is_taken(session: Session, slug: str) -> bool:
    return bool(session.scalar(select(exists().where(Tenant.slug == slug))))


def find_by_slug(session: Session, slug: str) -> Tenant | None:
    return session.scalar(select(Tenant).where(Tenant.slug == slug))


def within(
    session: Session, tenant_id: str | None, after: str | None, count: int
) -> Sequence[Tenant]:
    """By slug, from behind *after*: the one tenant, or all."""
    found = select(Tenant).order_by(Tenant.slug).limit(count)
    if tenant_id is not None:
        found = found.where(Tenant.id == tenant_id)
    if after is not None:
        found = found.where(Tenant.slug > after)
    return session.scalars(found).all()


def grant(
    session: Session, tenant_id: str, user_id: str, roles: Iterable[str], now: datetime
) -> None:
    session.add_all(
        Membership(tenant_id=tenant_id, user_id=user_id, role=role, created_at=now)
        for role in roles
    )
    session.flush()


def membership(
    session: Session, tenant_id: str, user_id: str
) -> tuple[tuple[str, ...], datetime] | None:
    """The roles of the user in the tenant, and since when; None for who is no member."""
    rows = session.scalars(
        select(Membership)
        .where(Membership.tenant_id == tenant_id, Membership.user_id == user_id)
        .order_by(Membership.role)
    ).all()
    if not rows:
        return None
    return tuple(row.role for row in rows), min(row.created_at for row in rows)


def roles_of(session: Session, tenant_id: str, user_id: str) -> tuple[str, ...]:
    found = membership(session, tenant_id, user_id)
    return found[0] if found else ()


def replace_roles(
    session: Session, tenant_id: str, user_id: str, roles: Iterable[str], now: datetime
) -> None:
    """Let the user have exactly *roles* in the tenant; a member since when they were."""
    found = membership(session, tenant_id, user_id)
    session.execute(
        delete(Membership).where(Membership.tenant_id == tenant_id, Membership.user_id == user_id)
    )
    grant(session, tenant_id, user_id, dict.fromkeys(roles), found[1] if found else now)


def remove_from_all(session: Session, user_id: str) -> None:
    session.execute(delete(Membership).where(Membership.user_id == user_id))


def users_with(session: Session, role: str, tenant_id: str | None) -> Sequence[str]:
    """Who has *role*: in the tenant, or in any."""
    found = select(Membership.user_id).where(Membership.role == role).distinct()
    if tenant_id is not None:
        found = found.where(Membership.tenant_id == tenant_id)
    return session.scalars(found).all()


def lock_holders(session: Session, role: str) -> None:
    """Let nobody else take *role* from anyone before this transaction ends."""
    session.execute(
        select(Membership)
        .where(Membership.role == role)
        .order_by(Membership.user_id)
        .with_for_update()
    )


def of_user(session: Session, user_id: str) -> list[TenantRoles]:
    """The tenants of *user_id*, longest member first."""
    rows = session.execute(
        select(Tenant, Membership.role)
        .join(Membership, Membership.tenant_id == Tenant.id)
        .where(Membership.user_id == user_id)
        .order_by(Membership.created_at, Tenant.id, Membership.role)
    )
    found: dict[str, tuple[Tenant, list[str]]] = {}
    for tenant, role in rows:
        found.setdefault(tenant.id, (tenant, []))[1].append(role)
    return [TenantRoles(tenant, tuple(roles)) for tenant, roles in found.values()]


def anyone_has(session: Session, role: str) -> bool:
    return bool(session.scalar(select(exists().where(Membership.role == role))))


def generations_raised_since(session: Session, since: datetime) -> dict[str, int]:
    rows = session.execute(
        select(Tenant.id, Tenant.generation).where(Tenant.generation_raised_at >= since)
    )
    return dict(rows.tuples().all())
