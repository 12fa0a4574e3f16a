"""Tenants whose documents the multilingual embedding model serves, or will serve."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal

from sqlalchemy import Select, String, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.types import UtcDateTime
from backend.services.rag.store.base import Base, utc_now
from backend.services.rag.store.documents import DocumentRow

# `building`: missing chunks are embedded in the background, and the model for English serves.
# `serving`: the multilingual model serves; the other model's vectors can still be in use.
# `complete`: the other model's vectors are dropped.
TenantState = Literal["building", "serving", "complete"]
SERVED_STATES: Final[tuple[TenantState, ...]] = ("serving", "complete")


class MultilingualTenantRow(Base):
    __tablename__ = "multilingual_tenants"

    tenant_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    state: Mapped[TenantState] = mapped_column(String(16))
    since: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


def get_states(session: Session) -> Mapping[str, TenantState]:
    """Return the states of all tenants that have one, by tenant id."""
    rows = session.execute(select(MultilingualTenantRow.tenant_id, MultilingualTenantRow.state))
    return {row[0]: row[1] for row in rows}


def select_tenants(*states: TenantState) -> Select[tuple[str]]:
    """Return a query for the ids of the tenants in *states*."""
    return select(MultilingualTenantRow.tenant_id).where(MultilingualTenantRow.state.in_(states))


def list_tenants(session: Session, *states: TenantState) -> list[MultilingualTenantRow]:
    query = select(MultilingualTenantRow).where(MultilingualTenantRow.state.in_(states))
    return list(session.scalars(query.order_by(MultilingualTenantRow.tenant_id)))


def has_visible_documents(session: Session, tenant_id: str) -> bool:
    query = select(DocumentRow.id).where(
        DocumentRow.tenant_id == tenant_id, DocumentRow.generation > 0
    )
    return session.scalar(query.limit(1)) is not None


def delete_tenants(session: Session) -> None:
    """Delete all rows: another model serves every tenant."""
    session.execute(delete(MultilingualTenantRow))
