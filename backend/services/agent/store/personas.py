"""Questions asked of personas. The caller owns the transaction."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from backend.services.agent.store.tables import Persona


def visible(session: Session, tenant_id: str, owner_id: str) -> Sequence[Persona]:
    """The owner's personas and those of the tenant, by name."""
    return session.scalars(
        select(Persona).where(*_seen_by(tenant_id, owner_id)).order_by(Persona.name, Persona.id)
    ).all()


def find(session: Session, tenant_id: str, owner_id: str, persona_id: str) -> Persona | None:
    """The persona, if the owner may see it."""
    return session.scalar(
        select(Persona).where(Persona.id == persona_id, *_seen_by(tenant_id, owner_id))
    )


def count(session: Session, tenant_id: str, owner_id: str) -> int:
    """How many the owner has made."""
    return (
        session.scalar(
            select(func.count()).where(Persona.tenant_id == tenant_id, Persona.owner_id == owner_id)
        )
        or 0
    )


def _seen_by(tenant_id: str, owner_id: str) -> tuple[ColumnElement[bool], ...]:
    return (
        Persona.tenant_id == tenant_id,
        or_(Persona.owner_id == owner_id, Persona.shared.is_(True)),
    )
