"""Table of API keys, stored as SHA-256 digests. The caller owns the transaction."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import JSON, ForeignKey, String, select, tuple_, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.types import UtcDateTime
from backend.services.auth.store.base import Base, generate_id


class ApiKey(Base):
    """An API key that acts for its owner in one tenant."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=generate_id)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), index=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    # The key that created this key; None for keys that were created in a session or by an
    # operator, which are the roots of the key trees.
    parent_id: Mapped[str | None] = mapped_column(String(32), index=True)
    name: Mapped[str] = mapped_column(String(100))
    # The first characters of the key, for the owner to recognize it in a configuration file.
    prefix: Mapped[str] = mapped_column(String(16))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    permissions: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # The row is kept after deletion: while a token issued for the key may still be valid, the
    # revocation must be published again if Redis loses its data.
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)


def add_key(session: Session, key: ApiKey) -> None:
    session.add(key)
    session.flush()


def find_key_by_digest(session: Session, digest: str) -> ApiKey | None:
    """Return the key, or None if it does not exist or is deleted."""
    return session.scalar(
        select(ApiKey).where(ApiKey.digest == digest, ApiKey.deleted_at.is_(None))
    )


def list_user_keys(
    session: Session,
    user_id: str,
    tenant_id: str,
    after: tuple[datetime, str] | None,
    limit: int,
) -> Sequence[ApiKey]:
    """Return up to *limit* keys of the user in the tenant, newest first.

    Args:
        after: creation time and id of the last key on the previous page.
    """
    query = (
        select(ApiKey)
        .where(
            ApiKey.user_id == user_id, ApiKey.tenant_id == tenant_id, ApiKey.deleted_at.is_(None)
        )
        .order_by(ApiKey.created_at.desc(), ApiKey.id.desc())
        .limit(limit)
    )
    if after is not None:
        query = query.where(tuple_(ApiKey.created_at, ApiKey.id) < after)
    return session.scalars(query).all()


def get_key(session: Session, key_id: str) -> ApiKey | None:
    """Return the key of any user, or None if it does not exist or is deleted."""
    return session.scalar(select(ApiKey).where(ApiKey.id == key_id, ApiKey.deleted_at.is_(None)))


def get_ancestors(session: Session, key: ApiKey, max_depth: int) -> list[ApiKey] | None:
    """Return the parent of *key*, its parent and so on up to the root.

    Returns:
        None if an ancestor is deleted, or if there are *max_depth* ancestors or more.
    """
    ancestors: list[ApiKey] = []
    parent_id = key.parent_id
    while parent_id is not None:
        parent = get_key(session, parent_id)
        if parent is None or len(ancestors) + 1 >= max_depth:
            return None
        ancestors.append(parent)
        parent_id = parent.parent_id
    return ancestors


def list_all_keys(session: Session, user_id: str | None) -> Sequence[ApiKey]:
    """Return all keys, or those of one user, newest first."""
    query = select(ApiKey).where(ApiKey.deleted_at.is_(None))
    if user_id is not None:
        query = query.where(ApiKey.user_id == user_id)
    return session.scalars(query.order_by(ApiKey.created_at.desc(), ApiKey.id)).all()


def delete_key(
    session: Session, key_id: str, user_id: str, tenant_id: str, now: datetime
) -> list[str]:
    """Mark the key and all its descendants as deleted.

    Returns:
        The ids of the deleted keys, *key_id* first; empty if the owner has no such key in the
        tenant.
    """
    deleted = session.scalar(
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
    if deleted is None:
        return []
    deleted_ids, parents = [deleted], [deleted]
    while parents:
        parents = list(
            session.scalars(
                update(ApiKey)
                .where(ApiKey.parent_id.in_(parents), ApiKey.deleted_at.is_(None))
                .values(deleted_at=now)
                .returning(ApiKey.id)
                .execution_options(synchronize_session=False)
            )
        )
        deleted_ids += parents
    return deleted_ids


def delete_user_keys(session: Session, user_id: str, now: datetime) -> None:
    session.execute(
        update(ApiKey)
        .where(ApiKey.user_id == user_id, ApiKey.deleted_at.is_(None))
        .values(deleted_at=now)
        .execution_options(synchronize_session=False)
    )


def delete_tenant_keys(session: Session, tenant_id: str, now: datetime) -> None:
    session.execute(
        update(ApiKey)
        .where(ApiKey.tenant_id == tenant_id, ApiKey.deleted_at.is_(None))
        .values(deleted_at=now)
        .execution_options(synchronize_session=False)
    )


def mark_key_used(session: Session, key_id: str, now: datetime) -> None:
    session.execute(
        update(ApiKey)
        .where(ApiKey.id == key_id)
        .values(last_used_at=now)
        .execution_options(synchronize_session=False)
    )


def get_key_ids_deleted_since(session: Session, since: datetime) -> Sequence[str]:
    return session.scalars(select(ApiKey.id).where(ApiKey.deleted_at >= since)).all()
