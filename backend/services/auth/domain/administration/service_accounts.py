"""Service accounts of a tenant: creation, key rotation, deletion and exchange of their keys.

A program uses a service account with its key. The account has a fixed set of permissions and no
other means of authentication (docs/adr/0056).
"""

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from backend.chassis.database.sessions import Database, Session
from backend.security import Principal
from backend.security.api_keys import API_KEY_PREFIX
from backend.security.permissions import SERVICE_ACCOUNT_PERMISSIONS
from backend.services.auth.domain.accounts import load_service_account
from backend.services.auth.domain.administration.admin_scope import ensure_has_permissions
from backend.services.auth.domain.audit import RequestOrigin, record_caller_event
from backend.services.auth.domain.credentials.api_keys import (
    KEY_TOKEN_LIFETIME,
    LAST_USED_PRECISION,
    KeyExchange,
    get_key_session_id,
    hash_key,
)
from backend.services.auth.domain.revocations import RevocationPublisher
from backend.services.auth.errors import (
    InvalidApiKey,
    PermissionNotForServiceAccounts,
    ResourceNotFound,
)
from backend.services.auth.store import service_accounts as store
from backend.services.auth.store.base import generate_id

# The dot does not occur in the random part of an API key, so the two kinds cannot be confused.
_KEY_PREFIX = f"{API_KEY_PREFIX}sa."
_PREFIX_CHARACTERS = len(_KEY_PREFIX) + 8


@dataclass(frozen=True, slots=True)
class ServiceAccountKey:
    """A valid key without its secret. `expires_at` is None for the current key."""

    id: str
    prefix: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A service account and its valid keys, newest first: at most two."""

    id: str
    tenant_id: str
    name: str
    permissions: frozenset[str]
    created_by: str
    created_at: datetime
    keys: tuple[ServiceAccountKey, ...]


class ServiceAccountService:
    """Create, list, rotate and delete the service accounts of the caller's selected tenant."""

    def __init__(
        self, database: Database, publisher: RevocationPublisher, now: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._publisher = publisher
        self._now = now

    def create_account(
        self, caller: Principal, name: str, permissions: Sequence[str], origin: RequestOrigin
    ) -> tuple[ServiceAccount, str]:
        """Create an account with its first key.

        Returns:
            The account and the secret text of the key, which is not stored.

        Raises:
            PermissionDenied: *permissions* exceed those of the caller.
            PermissionNotForServiceAccounts: no service account can have one of *permissions*.
        """
        ensure_has_permissions(caller, permissions)
        _ensure_allowed(permissions)
        now = self._now()
        with self._database.write() as session:
            row = store.ServiceAccount(
                id=generate_id(),
                tenant_id=caller.tenant_id,
                name=name,
                permissions=sorted(set(permissions)),
                created_by=caller.user_id,
                created_at=now,
            )
            store.add_account(session, row)
            key, text = _add_key(session, row, now)
            record_caller_event(
                session,
                self._now(),
                caller,
                origin,
                "service_account.create",
                row.id,
                name=name,
                permissions=row.permissions,
                key=key.id,
            )
            return _to_account(row, [key]), text

    def list_accounts(
        self, caller: Principal, after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[ServiceAccount]:
        """Return up to *limit* accounts of the selected tenant, newest first."""
        with self._database.read() as session:
            rows = store.list_accounts(session, caller.tenant_id, after, limit)
            keys = store.list_valid_keys(session, [row.id for row in rows], self._now())
            return [_to_account(row, keys.get(row.id, ())) for row in rows]

    def get_account(self, caller: Principal, account_id: str) -> ServiceAccount:
        """Return one account.

        Raises:
            ResourceNotFound: the selected tenant has no such account.
        """
        with self._database.read() as session:
            row = store.get_account(session, caller.tenant_id, account_id)
            if row is None:
                raise ResourceNotFound
            keys = store.list_valid_keys(session, [account_id], self._now())
            return _to_account(row, keys.get(account_id, ()))

    def rotate_key(
        self, caller: Principal, account_id: str, overlap: timedelta, origin: RequestOrigin
    ) -> tuple[ServiceAccount, str]:
        """Create a new key. The previous one stays valid for *overlap*, older ones are revoked.

        Args:
            overlap: zero to revoke the previous key and its tokens at once.

        Returns:
            The account and the secret text of the new key, which is not stored.

        Raises:
            ResourceNotFound: the selected tenant has no such account.
            PermissionDenied: the permissions of the account exceed those of the caller.
        """
        now = self._now()
        with self._database.write() as session:
            # Locked: of two concurrent rotations, the second ends the key of the first.
            row = _lock_account(session, caller, account_id)
            keys = store.list_valid_keys(session, [account_id], now).get(account_id, [])
            revoked_ids = _end_keys(keys, now, overlap)
            key, text = _add_key(session, row, now)
            record_caller_event(
                session,
                self._now(),
                caller,
                origin,
                "service_account.rotate",
                account_id,
                key=key.id,
                overlap_seconds=int(overlap.total_seconds()),
                revoked_keys=revoked_ids,
            )
            kept = [item for item in keys if item.revoked_at is None]
            account = _to_account(row, [key, *kept])
        self._publish_revoked_keys(revoked_ids)
        return account, text

    def delete_account(self, caller: Principal, account_id: str, origin: RequestOrigin) -> None:
        """Delete the account and revoke its keys and every token issued for them.

        Raises:
            ResourceNotFound: the selected tenant has no such account.
            PermissionDenied: the permissions of the account exceed those of the caller.
        """
        now = self._now()
        with self._database.write() as session:
            row = _lock_account(session, caller, account_id)
            revoked_ids = store.delete_accounts(session, [account_id], now)
            record_caller_event(
                session,
                self._now(),
                caller,
                origin,
                "service_account.delete",
                account_id,
                name=row.name,
            )
        self._publish_revoked_keys(revoked_ids)

    def exchange_key(self, text: str) -> KeyExchange:
        """Return the account of the key *text* with its tenant and permissions.

        Raises:
            InvalidApiKey: the key is unknown, expired or revoked, or its account or tenant is
                deleted.
        """
        now = self._now()
        with self._database.read() as session:
            opened = store.open_key(session, hash_key(text))
            if opened is None:
                raise InvalidApiKey
            key = opened.key
            lifetime = KEY_TOKEN_LIFETIME
            if key.expires_at is not None:
                lifetime = min(lifetime, key.expires_at - now)
            if lifetime <= timedelta(0):
                raise InvalidApiKey
            account = load_service_account(opened.account, opened.tenant)
            key_id, last_used_at = key.id, key.last_used_at
        if last_used_at is None or now - last_used_at >= LAST_USED_PRECISION:
            with self._database.write() as session:
                store.mark_key_used(session, key_id, now)
        return KeyExchange(account, get_key_session_id(key_id), lifetime)

    def _publish_revoked_keys(self, key_ids: Iterable[str]) -> None:
        for key_id in key_ids:
            self._publisher.publish_ended_session(get_key_session_id(key_id))


def is_service_account_key(text: str) -> bool:
    """Return True if *text* has the form of a service account's key."""
    return text.startswith(_KEY_PREFIX)


def _ensure_allowed(permissions: Sequence[str]) -> None:
    for index, permission in enumerate(permissions):
        if permission not in SERVICE_ACCOUNT_PERMISSIONS:
            raise PermissionNotForServiceAccounts(index, permission)


def _lock_account(session: Session, caller: Principal, account_id: str) -> store.ServiceAccount:
    """Return the account if *caller* may administer it. Raises ResourceNotFound otherwise."""
    row = store.lock_account(session, caller.tenant_id, account_id)
    if row is None:
        raise ResourceNotFound
    ensure_has_permissions(caller, row.permissions)
    return row


def _end_keys(
    keys: Sequence[store.ServiceAccountKey], now: datetime, overlap: timedelta
) -> list[str]:
    """End the valid *keys*, newest first, for a new key. Returns the ids of the revoked ones."""
    end = now + overlap
    revoked_ids = []
    for position, key in enumerate(keys):
        if position == 0 and overlap:
            key.expires_at = min(key.expires_at or end, end)
        else:
            key.revoked_at = now
            revoked_ids.append(key.id)
    return revoked_ids


def _add_key(
    session: Session, account: store.ServiceAccount, now: datetime
) -> tuple[store.ServiceAccountKey, str]:
    text = _KEY_PREFIX + secrets.token_urlsafe(32)
    key = store.ServiceAccountKey(
        tenant_id=account.tenant_id,
        account_id=account.id,
        prefix=text[:_PREFIX_CHARACTERS],
        digest=hash_key(text),
        created_at=now,
    )
    store.add_key(session, key)
    return key, text


def _to_account(
    row: store.ServiceAccount, keys: Sequence[store.ServiceAccountKey]
) -> ServiceAccount:
    return ServiceAccount(
        id=row.id,
        tenant_id=row.tenant_id,
        name=row.name,
        permissions=frozenset(row.permissions),
        created_by=row.created_by,
        created_at=row.created_at,
        keys=tuple(
            ServiceAccountKey(key.id, key.prefix, key.created_at, key.expires_at, key.last_used_at)
            for key in keys
        ),
    )
