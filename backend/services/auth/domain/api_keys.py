"""API keys: given out once, exchanged for short-lived tokens, ended at once."""

import hashlib
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from backend.chassis.database.sessions import Database
from backend.security import Principal
from backend.security.authentication import API_KEY_PREFIX
from backend.services.auth.domain.accounts import Account, account_of
from backend.services.auth.domain.audit import Origin, note
from backend.services.auth.domain.revocations import Revoker
from backend.services.auth.errors import (
    InvalidApiKey,
    NoSuchThing,
    PermissionDenied,
    UnfitExpiry,
)
from backend.services.auth.store import accounts
from backend.services.auth.store import api_keys as store

# A token made from a key; whoever exchanges keys does it again after half a minute.
_TOKEN_LIFETIME = timedelta(minutes=2)
# How exactly `last_used_at` is kept: not every exchange is a write.
_USE_NOTED_EVERY = timedelta(minutes=1)
_PREFIX_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What may be seen of a key after it was given out."""

    id: str
    tenant_id: str
    name: str
    prefix: str
    permissions: frozenset[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Exchanged:
    """The account as far as the key reaches, and for how long."""

    account: Account
    session_id: str
    lifetime: timedelta


class ApiKeys:
    def __init__(self, database: Database, revoker: Revoker, now: Callable[[], datetime]) -> None:
        self._database = database
        self._revoker = revoker
        self._now = now

    def create(
        self,
        caller: Principal,
        name: str,
        permissions: Iterable[str] | None,
        expires_at: datetime | None,
        origin: Origin,
        actor_id: str | None = None,
    ) -> tuple[ApiKey, str]:
        """A key for what *caller* may do here, or the part in *permissions*; and its text.

        *actor_id* is who makes it, where its owner does not.

        Raises UnfitExpiry, or PermissionDenied for what the caller may not do: a
        key that makes a key gives away no more than it was given.
        """
        now = self._now()
        if expires_at is not None and expires_at <= now:
            raise UnfitExpiry
        wanted = caller.permissions if permissions is None else frozenset(permissions)
        if beyond := wanted - caller.permissions:
            raise PermissionDenied(beyond)
        text = API_KEY_PREFIX + secrets.token_urlsafe(32)
        with self._database.write() as session:
            row = store.ApiKey(
                tenant_id=caller.tenant_id,
                user_id=caller.user_id,
                name=name,
                prefix=text[:_PREFIX_CHARACTERS],
                digest=_digest(text),
                permissions=sorted(wanted),
                created_at=now,
                expires_at=expires_at,
            )
            store.add(session, row)
            note(
                session,
                now,
                origin,
                "api_key.create",
                actor_id=actor_id or caller.user_id,
                tenant_id=caller.tenant_id,
                target=row.id,
                permissions=row.permissions,
            )
            return _seen(row), text

    def of_caller(
        self, caller: Principal, after: tuple[datetime, str] | None, count: int
    ) -> Sequence[ApiKey]:
        """The caller's keys in the tenant at hand, the newest first."""
        with self._database.read() as session:
            rows = store.of_user(session, caller.user_id, caller.tenant_id, after, count)
            return [_seen(row) for row in rows]

    def delete(self, caller: Principal, key_id: str, origin: Origin) -> None:
        """End the key and every token made from it, or raise NoSuchThing."""
        now = self._now()
        with self._database.write() as session:
            if not store.delete(session, key_id, caller.user_id, caller.tenant_id, now):
                raise NoSuchThing
            note(
                session,
                now,
                origin,
                "api_key.delete",
                actor_id=caller.user_id,
                tenant_id=caller.tenant_id,
                target=key_id,
            )
        self._revoker.end_session(session_id_of(key_id))

    def of_everyone(self, user_id: str | None) -> Sequence[tuple[str, ApiKey]]:
        """The keys of all users, or of one, each with its owner's id; for an operator."""
        with self._database.read() as session:
            return [(row.user_id, _seen(row)) for row in store.of_all(session, user_id)]

    def revoke(self, actor_id: str, key_id: str, origin: Origin) -> None:
        """End a key, whoever's it is, or raise NoSuchThing; for an operator."""
        now = self._now()
        with self._database.write() as session:
            row = store.get(session, key_id)
            if row is None:
                raise NoSuchThing
            store.delete(session, key_id, row.user_id, row.tenant_id, now)
            place = {"tenant_id": row.tenant_id, "target": key_id}
            note(session, now, origin, "api_key.delete", actor_id=actor_id, **place)
        self._revoker.end_session(session_id_of(key_id))

    def exchange(self, text: str) -> Exchanged:
        """What *text* opens at this moment, or InvalidApiKey.

        Never more than its owner may do now: who was given less since, gives less.
        """
        now = self._now()
        with self._database.read() as session:
            key = store.find(session, _digest(text))
            if key is None or (key.expires_at is not None and key.expires_at <= now):
                raise InvalidApiKey
            user = accounts.get(session, key.user_id)
            if user is None or user.disabled_at is not None:
                raise InvalidApiKey
            account = account_of(session, user)
            found = _seen(key)
        membership = account.membership(found.tenant_id)
        if membership is None:
            raise InvalidApiKey
        if found.last_used_at is None or now - found.last_used_at >= _USE_NOTED_EVERY:
            with self._database.write() as session:
                store.mark_used(session, found.id, now)
        left = found.expires_at - now if found.expires_at else _TOKEN_LIFETIME
        narrowed = replace(membership, permissions=membership.permissions & found.permissions)
        return Exchanged(
            account=replace(account, memberships=(narrowed,)),
            session_id=session_id_of(found.id),
            lifetime=min(left, _TOKEN_LIFETIME),
        )


def session_id_of(key_id: str) -> str:
    """What stands for a session in tokens made from the key."""
    return f"key:{key_id}"


def _seen(row: store.ApiKey) -> ApiKey:
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


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
