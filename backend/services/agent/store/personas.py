"""Queries on personas. The caller owns the transaction."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from backend.services.agent.store.tables import Persona


def list_visible_personas(session: Session, tenant_id: str, owner_id: str) -> Sequence[Persona]:
    """Return the owner's personas and the shared ones of the tenant, ordered by name."""
    return session.scalars(
        select(Persona)
        .where(*_is_visible_to(tenant_id, owner_id))
        .order_by(Persona.name, Persona.id)
    ).all()


def find_persona(
    session: Session, tenant_id: str, owner_id: str, persona_id: str
) -> Persona | None:
    """Return the persona if it is visible to the owner, or None."""
    return session.scalar(
        select(Persona).where(Persona.id == persona_id, *_is_visible_to(tenant_id, owner_id))
    )


def count_personas(session: Session, tenant_id: str, owner_id: str) -> int:
    """Return the number of personas that the owner created."""
    return (
        session.scalar(
            select(func.count()).where(Persona.tenant_id == tenant_id, Persona.owner_id == owner_id)
        )
        or 0
    )


def _is_visible_to(tenant_id: str, owner_id: str) -> tuple[ColumnElement[bool], ...]:
    return (
        Persona.tenant_id == tenant_id,
        or_(Persona.owner_id == owner_id, Persona.shared.is_(True)),
    )
