"""Tables of service accounts and their keys. The caller owns the transaction.

Service accounts are not rows of `users`: sign-in, password recovery, second factors and external
identities read only that table, so they cannot apply to a service account.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import JSON, ForeignKey, Select, String, or_, select, tuple_, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.types import UtcDateTime
from backend.services.auth.store.base import Base, generate_id
from backend.services.auth.store.tenants import Tenant


class ServiceAccount(Base):
    """An account of a tenant that a program uses with a key."""

    __tablename__ = "service_accounts"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=generate_id)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    permissions: Mapped[list[str]] = mapped_column(JSON)
    # Not a foreign key: the account stays when its creator is deleted.
    created_by: Mapped[str] = mapped_column(String(32))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    # The row stays after deletion, so that the audit log can show the name.
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ServiceAccountKey(Base):
    """A key of a service account, stored as its SHA-256 digest."""

    __tablename__ = "service_account_keys"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=generate_id)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), index=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("service_accounts.id"), index=True)
    # The first characters of the key, to recognize it in a configuration file.
    prefix: Mapped[str] = mapped_column(String(16))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    # None for the current key. A rotation sets the end of the previous key.
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # The row stays after revocation: while a token issued for the key may still be valid, the
    # revocation must be published again if Redis loses its data.
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)


@dataclass(frozen=True, slots=True)
class OpenedKey:
    """A valid key with its account and the tenant of the account."""

    key: ServiceAccountKey
    account: ServiceAccount
    tenant: Tenant


def add_account(session: Session, account: ServiceAccount) -> None:
    session.add(account)
    session.flush()


def add_key(session: Session, key: ServiceAccountKey) -> None:
    session.add(key)
    session.flush()


def get_account(session: Session, tenant_id: str, account_id: str) -> ServiceAccount | None:
    """Return the tenant's account, or None if it does not exist or is deleted."""
    return session.scalar(_select_account(account_id).where(ServiceAccount.tenant_id == tenant_id))


def lock_account(session: Session, tenant_id: str, account_id: str) -> ServiceAccount | None:
    """Return the account as `get_account`, locked until the transaction ends."""
    query = _select_account(account_id).where(ServiceAccount.tenant_id == tenant_id)
    return session.scalar(query.with_for_update())


def find_account(session: Session, account_id: str) -> tuple[ServiceAccount, Tenant] | None:
    """Return the account of any tenant and its tenant, or None if one of them is deleted."""
    query = (
        select(ServiceAccount, Tenant)
        .join(Tenant, Tenant.id == ServiceAccount.tenant_id)
        .where(
            ServiceAccount.id == account_id,
            ServiceAccount.deleted_at.is_(None),
            Tenant.deleted_at.is_(None),
        )
    )
    row = session.execute(query).first()
    return None if row is None else (row[0], row[1])


def list_accounts(
    session: Session, tenant_id: str, after: tuple[datetime, str] | None, limit: int
) -> Sequence[ServiceAccount]:
    """Return up to *limit* accounts of the tenant, newest first.

    Args:
        after: creation time and id of the last account on the previous page.
    """
    query = (
        select(ServiceAccount)
        .where(ServiceAccount.tenant_id == tenant_id, ServiceAccount.deleted_at.is_(None))
        .order_by(ServiceAccount.created_at.desc(), ServiceAccount.id.desc())
        .limit(limit)
    )
    if after is not None:
        query = query.where(tuple_(ServiceAccount.created_at, ServiceAccount.id) < after)
    return session.scalars(query).all()


def get_names(session: Session, account_ids: Iterable[str]) -> dict[str, str]:
    """Return the names by account id, including those of deleted accounts."""
    query = select(ServiceAccount.id, ServiceAccount.name)
    rows = session.execute(query.where(ServiceAccount.id.in_(set(account_ids))))
    return dict(rows.tuples().all())


def list_valid_keys(
    session: Session, account_ids: Iterable[str], now: datetime
) -> Mapping[str, list[ServiceAccountKey]]:
    """Return the keys that are neither expired nor revoked by account id, newest first."""
    keys: dict[str, list[ServiceAccountKey]] = {}
    query = (
        select(ServiceAccountKey)
        .where(
            ServiceAccountKey.account_id.in_(set(account_ids)),
            ServiceAccountKey.revoked_at.is_(None),
            or_(ServiceAccountKey.expires_at.is_(None), ServiceAccountKey.expires_at > now),
        )
        # The current key has no end. It sorts before a key of the same time.
        .order_by(ServiceAccountKey.created_at.desc(), ServiceAccountKey.expires_at.is_not(None))
    )
    for key in session.scalars(query):
        keys.setdefault(key.account_id, []).append(key)
    return keys


def open_key(session: Session, digest: str) -> OpenedKey | None:
    """Return the key with its account and tenant, or None if one of them was ended.

    The caller checks the expiry of the key.
    """
    query = (
        select(ServiceAccountKey, ServiceAccount, Tenant)
        .join(ServiceAccount, ServiceAccount.id == ServiceAccountKey.account_id)
        .join(Tenant, Tenant.id == ServiceAccount.tenant_id)
        .where(
            ServiceAccountKey.digest == digest,
            ServiceAccountKey.revoked_at.is_(None),
            ServiceAccount.deleted_at.is_(None),
            Tenant.deleted_at.is_(None),
        )
    )
    row = session.execute(query).first()
    return None if row is None else OpenedKey(*row)


def mark_key_used(session: Session, key_id: str, now: datetime) -> None:
    session.execute(
        update(ServiceAccountKey)
        .where(ServiceAccountKey.id == key_id)
        .values(last_used_at=now)
        .execution_options(synchronize_session=False)
    )


def delete_tenant_accounts(session: Session, tenant_id: str, now: datetime) -> Sequence[str]:
    """Delete all accounts of the tenant. Returns the ids of the keys that are revoked by it."""
    ids = session.scalars(
        select(ServiceAccount.id).where(
            ServiceAccount.tenant_id == tenant_id, ServiceAccount.deleted_at.is_(None)
        )
    ).all()
    return delete_accounts(session, ids, now)


def delete_accounts(session: Session, account_ids: Sequence[str], now: datetime) -> Sequence[str]:
    """Mark the accounts as deleted. Returns the ids of the keys that are revoked by it."""
    session.execute(
        update(ServiceAccount)
        .where(ServiceAccount.id.in_(account_ids), ServiceAccount.deleted_at.is_(None))
        .values(deleted_at=now)
        .execution_options(synchronize_session=False)
    )
    return session.scalars(
        update(ServiceAccountKey)
        .where(
            ServiceAccountKey.account_id.in_(account_ids), ServiceAccountKey.revoked_at.is_(None)
        )
        .values(revoked_at=now)
        .returning(ServiceAccountKey.id)
        .execution_options(synchronize_session=False)
    ).all()


def get_key_ids_revoked_since(session: Session, since: datetime) -> Sequence[str]:
    return session.scalars(
        select(ServiceAccountKey.id).where(ServiceAccountKey.revoked_at >= since)
    ).all()


def _select_account(account_id: str) -> Select[tuple[ServiceAccount]]:
    return select(ServiceAccount).where(
        ServiceAccount.id == account_id, ServiceAccount.deleted_at.is_(None)
    )
