"""Users, as administrators see and change them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from backend.chassis.database.sessions import Database, Session
from backend.security import Principal
from backend.services.auth.domain.accounts import (
    Account,
    Accounts,
    Membership,
    Newcomer,
    account_of,
)
from backend.services.auth.domain.administration.reach import (
    granted_by,
    keeping_an_admin,
    must_cover,
    rules_everything,
    sees_everything,
)
from backend.services.auth.domain.audit import Origin, note
from backend.services.auth.domain.revocations import Revoker
from backend.services.auth.domain.sessions import find_user
from backend.services.auth.domain.usernames import email_key, name_key
from backend.services.auth.errors import ForeignAccount, NoSuchThing, PersonalTenant
from backend.services.auth.store import (
    accounts,
    api_keys,
    recovery,
    second_factor,
    sessions,
    tenants,
)


@dataclass(frozen=True, slots=True)
class SeenUser:
    """An account as far as the administrator sees it, and the tenant it is seen in."""

    account: Account
    at_hand: Membership


class Users:
    def __init__(
        self,
        database: Database,
        people: Accounts,
        revoker: Revoker,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._people = people
        self._revoker = revoker
        self._now = now

    def search(
        self, caller: Principal, text: str | None, after: str | None, count: int
    ) -> Sequence[SeenUser]:
        """Whose name, e-mail or display name holds *text*, by name, from behind *after*."""
        tenant_id = None if sees_everything(caller) else caller.tenant_id
        with self._database.read() as session:
            found = accounts.search(
                session, tenant_id, (name_key(text), text.lower()) if text else None, after, count
            )
            return [_seen(caller, account_of(session, user)) for user in found]

    def get(self, caller: Principal, user_id: str) -> SeenUser:
        with self._database.read() as session:
            account = account_of(session, _user(session, user_id))
        return _seen(caller, account)

    def named(self, caller: Principal, name: str) -> SeenUser:
        """The account with this user name, e-mail address or id, or NoSuchThing."""
        with self._database.read() as session:
            user = find_user(session, name) or accounts.get(session, name)
            if user is None or user.deleted_at is not None:
                raise NoSuchThing
            account = account_of(session, user)
        return _seen(caller, account)

    def create(
        self, caller: Principal, newcomer: Newcomer, roles: Sequence[str], origin: Origin
    ) -> SeenUser:
        """Open an account with *roles*: in the tenant at hand, or in one of its own.

        Raises what registering raises, UnknownRole and PermissionDenied.
        """
        home = None if rules_everything(caller) else caller.tenant_id
        with self._database.read() as session:
            must_cover(caller, granted_by(session, home or caller.tenant_id, roles))
            tenant = tenants.get(session, home) if home else None
            if tenant is not None and tenant.personal:
                raise PersonalTenant
        prepared = self._people.prepare(newcomer)
        with self._database.write() as session:
            user = self._people.enter(session, newcomer, prepared, roles, home)
            self._note(session, caller, origin, "user.create", user.id, roles=list(roles))
            return _seen(caller, account_of(session, user))

    def change(
        self, caller: Principal, user_id: str, changes: Mapping[str, Any], origin: Origin
    ) -> SeenUser:
        """Set what *changes* names of `roles`, `disabled`, `email`, `display_name`.

        Raises NoSuchThing, PermissionDenied, ForeignAccount, UnknownRole,
        EmailTaken or LastAdmin.
        """
        fields = dict(changes)
        roles = fields.pop("roles", None)
        generation = None
        with self._database.write() as session, keeping_an_admin(session):
            user = _user(session, user_id)
            account = account_of(session, user)
            place = _place_of_change(caller, account)
            if fields:
                _must_own(caller, account)
                self._set(session, user, fields)
            if roles is not None:
                must_cover(caller, place.permissions)
                must_cover(caller, granted_by(session, place.tenant_id, roles))
                tenants.replace_roles(session, place.tenant_id, user_id, roles, self._now())
            if roles is not None or fields.get("disabled"):
                generation = accounts.raise_generation(session, user_id, self._now())
            told = {name: changes[name] for name in ("roles", "disabled") if name in changes}
            self._note(
                session, caller, origin, "user.change", user_id, fields=sorted(changes), **told
            )
            seen = _seen(caller, account_of(session, user))
        if generation is not None:
            self._revoker.raise_user(user_id, generation)
        return seen

    def delete(self, caller: Principal, user_id: str, origin: Origin) -> None:
        """End the account for good; its name is free again.

        The row stays as a nameless stone: what ended must be known to have ended.
        """
        now = self._now()
        with self._database.write() as session, keeping_an_admin(session):
            user = _user(session, user_id)
            account = account_of(session, user)
            _place_of_change(caller, account)
            _must_own(caller, account)
            tenants.remove_from_all(session, user_id)
            sessions.end_all(session, user_id, "user_deleted", now)
            api_keys.delete_all(session, user_id, now)
            second_factor.remove(session, user_id)
            recovery.forget(session, user_id)
            generation = accounts.raise_generation(session, user_id, now)
            accounts.bury(session, user, now)
            self._note(session, caller, origin, "user.delete", user_id)
        self._revoker.raise_user(user_id, generation)

    def unlock(self, caller: Principal, user_id: str, origin: Origin) -> None:
        """Forgive the account's failed sign-ins."""
        with self._database.write() as session:
            user = _user(session, user_id)
            _place_of_change(caller, account_of(session, user))
            user.unlocks += 1
            second_factor.unblock(session, user_id)
            self._note(session, caller, origin, "user.unlock", user_id)

    def _set(self, session: Session, user: accounts.User, fields: Mapping[str, Any]) -> None:
        values = dict(fields)
        if "disabled" in values:
            disabled = values.pop("disabled")
            values["disabled_at"] = (user.disabled_at or self._now()) if disabled else None
            if disabled:
                sessions.end_all(session, user.id, "disabled", self._now())
        if "email" in values and values["email"] != user.email:
            values["email_key"] = email_key(values["email"]) if values["email"] else None
            values["email_verified"] = False
        accounts.change(session, user, values)

    def _note(
        self,
        session: Session,
        caller: Principal,
        origin: Origin,
        action: str,
        user_id: str,
        **details: Any,
    ) -> None:
        note(
            session,
            self._now(),
            origin,
            action,
            actor_id=caller.user_id,
            tenant_id=caller.tenant_id,
            target=user_id,
            **details,
        )


def _user(session: Session, user_id: str) -> accounts.User:
    user = accounts.get(session, user_id)
    if user is None:
        raise NoSuchThing
    return user


def _seen(caller: Principal, account: Account) -> SeenUser:
    """*account* as *caller* may see it, or NoSuchThing."""
    if sees_everything(caller) or rules_everything(caller):
        return SeenUser(account, account.default)
    here = account.membership(caller.tenant_id)
    if here is None:
        raise NoSuchThing
    # Of which other tenants somebody is a member is nobody's business here.
    return SeenUser(replace(account, memberships=(here,)), here)


def _place_of_change(caller: Principal, account: Account) -> Membership:
    """In which of its tenants *caller* changes *account*, or NoSuchThing."""
    if rules_everything(caller):
        return account.default
    here = account.membership(caller.tenant_id)
    if here is None:
        raise NoSuchThing
    return here


def _must_own(caller: Principal, account: Account) -> None:
    """ForeignAccount where the account itself belongs to another tenant.

    Who invites somebody into a tenant must not be able to shut them out of their
    own.
    """
    if not rules_everything(caller) and account.default.tenant_id != caller.tenant_id:
        raise ForeignAccount
    for membership in account.memberships:
        must_cover(caller, membership.permissions)
