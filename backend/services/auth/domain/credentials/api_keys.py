"""API keys: creation, exchange for short-lived access tokens, revocation.

A key that is created with another key is its child. Deletion, expiry and lost permissions of a key
apply to all its descendants.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from backend.chassis.database.sessions import Database, Session
from backend.security import Principal
from backend.security.api_keys import API_KEY_PREFIX, API_KEY_SESSION_PREFIX
from backend.services.auth.domain.accounts import Account, load_account
from backend.services.auth.domain.audit import RequestOrigin, record_audit_event
from backend.services.auth.domain.revocations import RevocationPublisher
from backend.services.auth.errors import (
    ExpiryAfterParent,
    ExpiryInPast,
    InvalidApiKey,
    KeyDepthExceeded,
    PermissionDenied,
    ResourceNotFound,
    SessionRequired,
)
from backend.services.auth.store import accounts, service_accounts
from backend.services.auth.store.credentials import api_keys as store

# Lifetime of a token issued for a key. Services exchange a key again every 30 s.
KEY_TOKEN_LIFETIME = timedelta(minutes=2)
# Precision of `last_used_at`: it is updated at most this often, so most exchanges do not write.
LAST_USED_PRECISION = timedelta(minutes=1)
_PREFIX_CHARACTERS = 12
# Maximum number of levels of a key tree. A key that was created in a session is on level 1, and a
# key that was created with another key is one level below it.
MAX_KEY_DEPTH = 3


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key without its secret."""

    id: str
    parent_id: str | None
    tenant_id: str
    name: str
    prefix: str
    permissions: frozenset[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class KeyExchange:
    """The account restricted to the tenant and permissions of a key, for one token lifetime."""

    account: Account
    session_id: str
    lifetime: timedelta


class ApiKeyService:
    """Create, list, exchange and revoke API keys."""

    def __init__(
        self, database: Database, publisher: RevocationPublisher, now: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._publisher = publisher
        self._now = now

    def create_key(
        self,
        caller: Principal,
        name: str,
        permissions: Iterable[str] | None,
        expires_at: datetime | None,
        origin: RequestOrigin,
        actor_id: str | None = None,
    ) -> tuple[ApiKey, str]:
        """Create a key for *caller* in the caller's tenant.

        If the caller uses a key itself, that key is the parent of the new one.

        Args:
            permissions: permissions of the key; None for all permissions of the caller.
            expires_at: None for no expiry, or for the expiry of the parent.
            actor_id: user that creates the key, if it is not the owner.

        Returns:
            The key and its secret text, which is not stored.

        Raises:
            ExpiryInPast: *expires_at* has passed.
            ExpiryAfterParent: *expires_at* is later than the expiry of the parent.
            KeyDepthExceeded: the parent is at the lowest level of its tree.
            InvalidApiKey: the parent was deleted after the request was authenticated.
            SessionRequired: the caller is a service account.
            PermissionDenied: *permissions* exceed those of the caller. A key that creates a key
                cannot pass on more permissions than it has.
        """
        now = self._now()
        if expires_at is not None and expires_at <= now:
            raise ExpiryInPast
        granted = _select_permissions(caller, permissions)
        text = API_KEY_PREFIX + secrets.token_urlsafe(32)
        with self._database.write() as session:
            parent = _get_parent(session, caller)
            row = store.ApiKey(
                parent_id=parent.id if parent else None,
                tenant_id=caller.tenant_id,
                user_id=caller.user_id,
                name=name,
                prefix=text[:_PREFIX_CHARACTERS],
                digest=hash_key(text),
                permissions=granted,
                created_at=now,
                expires_at=_limit_expiry(expires_at, parent),
            )
            store.add_key(session, row)
            record_audit_event(
                session,
                now,
                origin,
                "api_key.create",
                actor_id=actor_id or caller.user_id,
                tenant_id=caller.tenant_id,
                target=row.id,
                permissions=row.permissions,
            )
            return _to_api_key(row), text

    def list_caller_keys(
        self, caller: Principal, after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[ApiKey]:
        """Return the caller's keys in the selected tenant, newest first."""
        with self._database.read() as session:
            rows = store.list_user_keys(session, caller.user_id, caller.tenant_id, after, limit)
            return [_to_api_key(row) for row in rows]

    def delete_key(self, caller: Principal, key_id: str, origin: RequestOrigin) -> None:
        """Revoke the key, its descendants and every token issued for them.

        Raises:
            ResourceNotFound: the caller has no such key in the selected tenant.
        """
        now = self._now()
        with self._database.write() as session:
            deleted_ids = store.delete_key(session, key_id, caller.user_id, caller.tenant_id, now)
            if not deleted_ids:
                raise ResourceNotFound
            record_audit_event(
                session,
                now,
                origin,
                "api_key.delete",
                actor_id=caller.user_id,
                tenant_id=caller.tenant_id,
                target=key_id,
                descendants=len(deleted_ids) - 1,
            )
        self._publish_deleted_keys(deleted_ids)

    def list_all_keys(self, user_id: str | None) -> Sequence[tuple[str, ApiKey]]:
        """Return all keys, or those of one user, each with its owner's id (for the operator)."""
        with self._database.read() as session:
            return [
                (row.user_id, _to_api_key(row)) for row in store.list_all_keys(session, user_id)
            ]

    def revoke_key(self, actor_id: str, key_id: str, origin: RequestOrigin) -> None:
        """Revoke a key of any user, and the key's descendants (for the operator).

        Raises:
            ResourceNotFound: the key does not exist.
        """
        now = self._now()
        with self._database.write() as session:
            row = store.get_key(session, key_id)
            if row is None:
                raise ResourceNotFound
            deleted_ids = store.delete_key(session, key_id, row.user_id, row.tenant_id, now)
            record_audit_event(
                session,
                now,
                origin,
                "api_key.delete",
                actor_id=actor_id,
                tenant_id=row.tenant_id,
                target=key_id,
                descendants=len(deleted_ids) - 1,
            )
        self._publish_deleted_keys(deleted_ids)

    def exchange_key(self, text: str) -> KeyExchange:
        """Return the restricted account of the API key *text*.

        Permissions are the intersection of those of the key, of its ancestors and of its owner.

        Raises:
            InvalidApiKey: the key or an ancestor is unknown, expired or deleted, or its owner is
                disabled, deleted or no longer a member of the key's tenant.
        """
        digest = hash_key(text)
        return self._exchange(lambda session: store.find_key_by_digest(session, digest))

    def exchange_key_id(self, key_id: str) -> KeyExchange:
        """Return the restricted account of a key, for a service that acts for its owner.

        Raises:
            InvalidApiKey: as `exchange_key`.
        """
        return self._exchange(lambda session: store.get_key(session, key_id))

    def _exchange(self, find_key: Callable[[Session], store.ApiKey | None]) -> KeyExchange:
        now = self._now()
        with self._database.read() as session:
            row = find_key(session)
            ancestors = store.get_ancestors(session, row, MAX_KEY_DEPTH) if row else None
            if row is None or ancestors is None:
                raise InvalidApiKey
            expiries = [item.expires_at for item in (row, *ancestors) if item.expires_at]
            lifetime = min([KEY_TOKEN_LIFETIME, *(expiry - now for expiry in expiries)])
            if lifetime <= timedelta(0):
                raise InvalidApiKey
            user = accounts.get_user(session, row.user_id)
            if user is None or user.disabled_at is not None:
                raise InvalidApiKey
            account = load_account(session, user)
            key = _to_api_key(row)
            permissions = key.permissions.intersection(*(item.permissions for item in ancestors))
        membership = account.get_membership(key.tenant_id)
        if membership is None:
            raise InvalidApiKey
        if key.last_used_at is None or now - key.last_used_at >= LAST_USED_PRECISION:
            with self._database.write() as session:
                store.mark_key_used(session, key.id, now)
        restricted = replace(membership, permissions=membership.permissions & permissions)
        return KeyExchange(
            account=replace(account, memberships=(restricted,)),
            session_id=get_key_session_id(key.id),
            lifetime=lifetime,
        )

    def _publish_deleted_keys(self, key_ids: Iterable[str]) -> None:
        for key_id in key_ids:
            self._publisher.publish_ended_session(get_key_session_id(key_id))


def get_key_session_id(key_id: str) -> str:
    """Return the session id (`sid` claim) of tokens issued for the key."""
    return f"{API_KEY_SESSION_PREFIX}{key_id}"


def parse_key_session_id(session_id: str) -> str | None:
    """Return the id of the key whose tokens have *session_id*, or None for a login session."""
    if not session_id.startswith(API_KEY_SESSION_PREFIX):
        return None
    return session_id.removeprefix(API_KEY_SESSION_PREFIX)


def _get_parent(session: Session, caller: Principal) -> store.ApiKey | None:
    """Return the key that *caller* uses, or None for a caller with a session."""
    parent_id = caller.api_key_id
    if parent_id is None:
        return None
    if service_accounts.find_account(session, caller.user_id) is not None:
        # An API key would outlive the rotation of the account's key.
        raise SessionRequired
    parent = store.get_key(session, parent_id)
    ancestors = store.get_ancestors(session, parent, MAX_KEY_DEPTH) if parent else None
    if parent is None or ancestors is None:
        raise InvalidApiKey
    if len(ancestors) + 1 >= MAX_KEY_DEPTH:
        raise KeyDepthExceeded(MAX_KEY_DEPTH)
    return parent


def _select_permissions(caller: Principal, requested: Iterable[str] | None) -> list[str]:
    """Return the *requested* permissions, or all of *caller*. Raises PermissionDenied for more."""
    if requested is None:
        return sorted(caller.permissions)
    selected = frozenset(requested)
    if missing := selected - caller.permissions:
        raise PermissionDenied(missing)
    return sorted(selected)


def _limit_expiry(expires_at: datetime | None, parent: store.ApiKey | None) -> datetime | None:
    """Return the expiry of a key: at most that of its *parent*. Raises ExpiryAfterParent."""
    if parent is None or parent.expires_at is None:
        return expires_at
    if expires_at is not None and expires_at > parent.expires_at:
        raise ExpiryAfterParent(parent.expires_at)
    return expires_at or parent.expires_at


def _to_api_key(row: store.ApiKey) -> ApiKey:
    return ApiKey(
        id=row.id,
        parent_id=row.parent_id,
        tenant_id=row.tenant_id,
        name=row.name,
        prefix=row.prefix,
        permissions=frozenset(row.permissions),
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
    )


def hash_key(text: str) -> str:
    """Return the digest of key *text* under which it is stored."""
    return hashlib.sha256(text.encode()).hexdigest()
