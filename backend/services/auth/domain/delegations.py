"""Access tokens for services that work for a user after the user's request (RFC 8693)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from backend.chassis.database.sessions import Database
from backend.security.permissions import DELEGATED_PERMISSIONS
from backend.services.auth.domain.accounts import Account, load_account
from backend.services.auth.domain.credentials.api_keys import ApiKeyService, parse_key_session_id
from backend.services.auth.errors import InvalidApiKey, SessionEnded
from backend.services.auth.store import accounts
from backend.services.auth.store import sessions as store

MAX_LIFETIME: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Delegation:
    """The account with the delegated permissions, and the lifetime of its token."""

    account: Account
    session_id: str
    lifetime: timedelta


class DelegationService:
    """Delegates permissions of a user, whose session or API key is valid, to a service."""

    def __init__(
        self, database: Database, api_keys: ApiKeyService, now: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._api_keys = api_keys
        self._now = now

    def delegate(
        self, service: str, session_id: str, tenant_id: str, permissions: Iterable[str]
    ) -> Delegation:
        """Return the account of the session with at most *permissions* in the tenant.

        The permissions are also limited to those that *service* may use for users.

        Raises:
            SessionEnded: the session or API key has ended, or its user is no member of the tenant.
        """
        account, lifetime = self._find_account(session_id)
        membership = account.get_membership(tenant_id)
        if membership is None:
            raise SessionEnded
        allowed = membership.permissions & set(permissions) & DELEGATED_PERMISSIONS[service]
        restricted = replace(membership, permissions=frozenset(map(str, allowed)))
        return Delegation(replace(account, memberships=(restricted,)), session_id, lifetime)

    def _find_account(self, session_id: str) -> tuple[Account, timedelta]:
        key_id = parse_key_session_id(session_id)
        if key_id is not None:
            try:
                exchange = self._api_keys.exchange_key_id(key_id)
            except InvalidApiKey as error:
                raise SessionEnded from error
            return exchange.account, min(exchange.lifetime, MAX_LIFETIME)
        now = self._now()
        with self._database.read() as session:
            row = store.get_session(session, session_id)
            if row is None or row.ended_at is not None or row.expires_at <= now:
                raise SessionEnded
            user = accounts.get_user(session, row.user_id)
            if user is None or user.disabled_at is not None:
                raise SessionEnded
            return load_account(session, user), min(row.expires_at - now, MAX_LIFETIME)
