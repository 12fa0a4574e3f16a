"""Tenants, and who holds which role in them. The caller owns the transaction."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ForeignKey, String, exists, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database import UtcDateTime
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
    session.add(tenant)
    session.flush()


def grant(
    session: Session, tenant_id: str, user_id: str, roles: Iterable[str], now: datetime
) -> None:
    session.add_all(
        Membership(tenant_id=tenant_id, user_id=user_id, role=role, created_at=now)
        for role in roles
    )
    session.flush()


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
