"""API keys: creation, exchange for short-lived access tokens, revocation."""

import hashlib
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from backend.chassis.database.sessions import Database
from backend.security import Principal
from backend.security.authentication import API_KEY_PREFIX
from backend.services.auth.domain.accounts import Account, load_account
from backend.services.auth.domain.audit import RequestOrigin, record_audit_event
from backend.services.auth.domain.revocations import RevocationPublisher
from backend.services.auth.errors import (
    ExpiryInPast,
    InvalidApiKey,
    PermissionDenied,
    ResourceNotFound,
)
from backend.services.auth.store import accounts
from backend.services.auth.store.credentials import api_keys as store

# Lifetime of a token issued for a key. Services exchange a key again every 30 s.
_TOKEN_LIFETIME = timedelta(minutes=2)
# Precision of `last_used_at`: it is updated at most this often, so most exchanges do not write.
_LAST_USED_PRECISION = timedelta(minutes=1)
_PREFIX_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key without its secret."""

    id: str
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

        Args:
            permissions: permissions of the key; None for all permissions of the caller.
            actor_id: user that creates the key, if it is not the owner.

        Returns:
            The key and its secret text, which is not stored.

        Raises:
            ExpiryInPast: *expires_at* has passed.
            PermissionDenied: *permissions* exceed those of the caller. A key that creates a key
                cannot pass on more permissions than it has.
        """
        now = self._now()
        if expires_at is not None and expires_at <= now:
            raise ExpiryInPast
        granted = caller.permissions if permissions is None else frozenset(permissions)
        if missing := granted - caller.permissions:
            raise PermissionDenied(missing)
        text = API_KEY_PREFIX + secrets.token_urlsafe(32)
        with self._database.write() as session:
            row = store.ApiKey(
                tenant_id=caller.tenant_id,
                user_id=caller.user_id,
                name=name,
                prefix=text[:_PREFIX_CHARACTERS],
                digest=_hash_key(text),
                permissions=sorted(granted),
                created_at=now,
                expires_at=expires_at,
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
        """Revoke the key and every token issued for it.

        Raises:
            ResourceNotFound: the caller has no such key in the selected tenant.
        """
        now = self._now()
        with self._database.write() as session:
            if not store.delete_key(session, key_id, caller.user_id, caller.tenant_id, now):
                raise ResourceNotFound
            record_audit_event(
                session,
                now,
                origin,
                "api_key.delete",
                actor_id=caller.user_id,
                tenant_id=caller.tenant_id,
                target=key_id,
            )
        self._publisher.publish_ended_session(get_key_session_id(key_id))

    def list_all_keys(self, user_id: str | None) -> Sequence[tuple[str, ApiKey]]:
        """Return the owner's id and the key of all keys, or of one user's keys (operator)."""
        with self._database.read() as session:
            return [
                (row.user_id, _to_api_key(row)) for row in store.list_all_keys(session, user_id)
            ]

    def revoke_key(self, actor_id: str, key_id: str, origin: RequestOrigin) -> None:
        """Revoke a key of any user (operator).

        Raises:
            ResourceNotFound: the key does not exist.
        """
        now = self._now()
        with self._database.write() as session:
            row = store.get_key(session, key_id)
            if row is None:
                raise ResourceNotFound
            store.delete_key(session, key_id, row.user_id, row.tenant_id, now)
            target = {"tenant_id": row.tenant_id, "target": key_id}
            record_audit_event(session, now, origin, "api_key.delete", actor_id=actor_id, **target)
        self._publisher.publish_ended_session(get_key_session_id(key_id))

    def exchange_key(self, text: str) -> KeyExchange:
        """Return the restricted account of the API key *text*.

        Permissions are the intersection of the key's and its owner's current ones.

        Raises:
            InvalidApiKey: the key is unknown, expired or deleted, or its owner is disabled,
                deleted or no longer a member of the key's tenant.
        """
        now = self._now()
        with self._database.read() as session:
            row = store.find_key_by_digest(session, _hash_key(text))
            if row is None or (row.expires_at is not None and row.expires_at <= now):
                raise InvalidApiKey
            user = accounts.get_user(session, row.user_id)
            if user is None or user.disabled_at is not None:
                raise InvalidApiKey
            account = load_account(session, user)
            key = _to_api_key(row)
        membership = account.get_membership(key.tenant_id)
        if membership is None:
            raise InvalidApiKey
        if key.last_used_at is None or now - key.last_used_at >= _LAST_USED_PRECISION:
            with self._database.write() as session:
                store.mark_key_used(session, key.id, now)
        remaining = key.expires_at - now if key.expires_at else _TOKEN_LIFETIME
        restricted = replace(membership, permissions=membership.permissions & key.permissions)
        return KeyExchange(
            account=replace(account, memberships=(restricted,)),
            session_id=get_key_session_id(key.id),
            lifetime=min(remaining, _TOKEN_LIFETIME),
        )


def get_key_session_id(key_id: str) -> str:
    """Return the session id (`sid` claim) of tokens issued for the key."""
    return f"key:{key_id}"


def _to_api_key(row: store.ApiKey) -> ApiKey:
    return ApiKey(
        id=row.id,
        tenant_id=row.tenant_id,
        name=row.name,
        prefix=row.prefix,
        permissions=frozenset(row.permissions),
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
    )


def _hash_key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
