"""API keys, known by their SHA-256. The caller owns the transaction."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import JSON, ForeignKey, String, select, tuple_, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.sessions import UtcDateTime
from backend.services.auth.store.base import Base, new_id


class ApiKey(Base):
    """A key that acts for its owner in one tenant."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), index=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    # The first characters, by which its owner recognises it in a configuration.
    prefix: Mapped[str] = mapped_column(String(16))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    permissions: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # Kept for as long as a token made from it may live: its end must be told again
    # to a server that forgot.
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)


def add(session: Session, key: ApiKey) -> None:
    session.add(key)
    session.flush()


def find(session: Session, digest: str) -> ApiKey | None:
    """The key that was not deleted."""
    return session.scalar(
        select(ApiKey).where(ApiKey.digest == digest, ApiKey.deleted_at.is_(None))
    )


def of_user(
    session: Session,
    user_id: str,
    tenant_id: str,
    after: tuple[datetime, str] | None,
    count: int,
) -> Sequence[ApiKey]:
    """The newest first, from behind *after*."""
    wanted = (
        select(ApiKey)
        .where(
            ApiKey.user_id == user_id, ApiKey.tenant_id == tenant_id, ApiKey.deleted_at.is_(None)
        )
        .order_by(ApiKey.created_at.desc(), ApiKey.id.desc())
        .limit(count)
    )
    if after is not None:
        wanted = wanted.where(tuple_(ApiKey.created_at, ApiKey.id) < after)
    return session.scalars(wanted).all()


def get(session: Session, key_id: str) -> ApiKey | None:
    """The key that was not deleted, whoever's it is."""
    return session.scalar(select(ApiKey).where(ApiKey.id == key_id, ApiKey.deleted_at.is_(None)))


def of_all(session: Session, user_id: str | None) -> Sequence[ApiKey]:
    """Every key there is, or every one of the user; the newest first."""
    wanted = select(ApiKey).where(ApiKey.deleted_at.is_(None))
    if user_id is not None:
        wanted = wanted.where(ApiKey.user_id == user_id)
    return session.scalars(wanted.order_by(ApiKey.created_at.desc(), ApiKey.id)).all()


def delete(session: Session, key_id: str, user_id: str, tenant_id: str, now: datetime) -> bool:
    """Delete the key; False if there is none of that owner in that tenant."""
    deleted = session.execute(
        update(ApiKey)
        .where(
            ApiKey.id == key_id,
            ApiKey.user_id == user_id,
            ApiKey.tenant_id == tenant_id,
            ApiKey.deleted_at.is_(None),
        )
        .values(deleted_at=now)
        .returning(ApiKey.id)
        .execution_options(synchronize_session=False)
    )
    return deleted.first() is not None


def delete_all(session: Session, user_id: str, now: datetime) -> None:
    session.execute(
        update(ApiKey)
        .where(ApiKey.user_id == user_id, ApiKey.deleted_at.is_(None))
        .values(deleted_at=now)
        .execution_options(synchronize_session=False)
    )


def mark_used(session: Session, key_id: str, now: datetime) -> None:
    session.execute(
        update(ApiKey)
        .where(ApiKey.id == key_id)
        .values(last_used_at=now)
        .execution_options(synchronize_session=False)
    )


def deleted_since(session: Session, since: datetime) -> Sequence[str]:
    return session.scalars(select(ApiKey.id).where(ApiKey.deleted_at >= since)).all()
