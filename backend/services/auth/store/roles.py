"""Table of custom roles. The caller owns the transaction."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import JSON, String, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.types import UtcDateTime
from backend.services.auth.store.base import Base

# Value of `tenant_id` for roles that are available in every tenant.
ALL_TENANTS = ""


class CustomRole(Base):
    """A role of one tenant or of all tenants.

    A tenant's own role takes precedence over a global role of the same name.
    """

    __tablename__ = "custom_roles"

    tenant_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    description: Mapped[str | None] = mapped_column(String(200))
    permissions: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)


def save_role(session: Session, role: CustomRole) -> None:
    session.add(role)
    session.flush()


def find_role_for_update(session: Session, tenant_id: str, name: str) -> CustomRole | None:
    """Return and lock the role defined for exactly this tenant, or None."""
    return session.get(CustomRole, (tenant_id, name), with_for_update=True)


def list_visible_roles(
    session: Session, tenant_id: str, names: Iterable[str] | None = None
) -> Sequence[CustomRole]:
    """Return the custom roles available in the tenant, ordered by name.

    Args:
        names: return only roles with these names; None for all.
    """
    query = select(CustomRole).where(CustomRole.tenant_id.in_([ALL_TENANTS, tenant_id]))
    if names is not None:
        query = query.where(CustomRole.name.in_(list(names)))
    roles: dict[str, CustomRole] = {}
    for role in session.scalars(query.order_by(CustomRole.name, CustomRole.tenant_id)):
        # The tenant's own role sorts after the global one of the same name and replaces it.
        roles[role.name] = role
    return list(roles.values())


def delete_tenant_roles(session: Session, tenant_id: str) -> None:
    session.execute(delete(CustomRole).where(CustomRole.tenant_id == tenant_id))


def delete_role(session: Session, tenant_id: str, name: str) -> None:
    session.execute(
        delete(CustomRole).where(CustomRole.tenant_id == tenant_id, CustomRole.name == name)
    )
