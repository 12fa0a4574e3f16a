"""Administration of channel accounts. Secrets are sealed and never returned."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from backend.chassis.database.sessions import Database, Session, call_after_commit
from backend.chassis.encryption import DecryptionError, Encryptor
from backend.services.chat.domain.access import Caller
from backend.services.chat.domain.credentials import PREVIOUS, find_unknown, get_names
from backend.services.chat.domain.message_log import MessageLog
from backend.services.chat.errors import ResourceNotFound, UnknownCredentials
from backend.services.chat.store import accounts as store
from backend.services.chat.store.base import new_id
from backend.services.chat.store.tables import Account

# Code of the error of an account without a key of the agent. The account stays active.
KEY_MISSING: Final = "agent_key_missing"


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account without its secrets: `credential_names` tells which ones are set."""

    id: str
    channel: str
    name: str
    state: str
    error: Mapping[str, Any] | None
    settings: Mapping[str, Any]
    credential_names: Sequence[str]
    has_agent_key: bool
    checked_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class AccountChange:
    """Changes of an account. None leaves a field.

    Attributes:
        credentials: secrets to set; None as a value removes one.
        keeps_previous: the replaced secrets stay valid under their names with `_previous`.
        agent_key: key of a service account of auth; "" removes it.
    """

    name: str | None = None
    state: str | None = None
    settings: Mapping[str, Any] | None = None
    credentials: Mapping[str, str | None] | None = None
    agent_key: str | None = None
    keeps_previous: bool = False


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Outcome of a request to the provider with the account's credentials.

    A valid account can have an `error` that is only information: KEY_MISSING.
    """

    is_valid: bool
    error: Mapping[str, Any] | None = None


# Requests something harmless from the provider, to see whether the credentials are valid.
CheckAccount = Callable[[Account], CheckResult]


class AccountService:
    """Accounts of the caller's tenant.

    Args:
        encryptor: seals the credentials.
        key_encryptor: seals keys of service accounts.
        check: checks the credentials of an account at its provider.
        announce: signals all processes, after the commit, that an account has changed.
        message_log: records the event of a change.
    """

    def __init__(
        self,
        database: Database,
        encryptor: Encryptor,
        key_encryptor: Encryptor,
        check: CheckAccount,
        announce: Callable[[str], None],
        message_log: MessageLog,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._encryptor = encryptor
        self._key_encryptor = key_encryptor
        self._check = check
        self._announce = announce
        self._message_log = message_log
        self._now = now

    def create_account(self, caller: Caller, channel: str, change: AccountChange) -> AccountView:
        """Create an account of *channel*. Raises UnknownCredentials."""
        now = self._now()
        with self._database.write(caller.tenant_id) as session:
            account = Account(
                id=new_id("acc"),
                tenant_id=caller.tenant_id,
                channel=channel,
                name=change.name or channel,
                settings={},
                created_at=now,
                updated_at=now,
            )
            store.add_account(session, account)
            self._apply(session, account, change)
            return self._view(account)

    def list_accounts(
        self, caller: Caller, limit: int, after: tuple[datetime, str] | None
    ) -> list[AccountView]:
        """Return the tenant's accounts, newest first. The one for web chat is created."""
        with self._database.write(caller.tenant_id) as session:
            store.ensure_web_account(session, caller.tenant_id, self._now())
            rows = store.list_accounts(session, caller.tenant_id, limit, after)
            return [self._view(row) for row in rows]

    def get_account(self, caller: Caller, account_id: str) -> AccountView:
        """Return one account. Raises ResourceNotFound."""
        with self._database.read(caller.tenant_id) as session:
            return self._view(_find(session, caller, account_id))

    def update_account(self, caller: Caller, account_id: str, change: AccountChange) -> AccountView:
        """Change an account. Raises ResourceNotFound or UnknownCredentials."""
        with self._database.write(caller.tenant_id) as session:
            account = _find(session, caller, account_id)
            self._apply(session, account, change)
            return self._view(account)

    def delete_account(self, caller: Caller, account_id: str) -> None:
        """Delete an account with its conversations. Raises ResourceNotFound."""
        with self._database.write(caller.tenant_id) as session:
            account = _find(session, caller, account_id)
            self._record(session, account, deleted=True)
            store.delete_account(session, account.tenant_id, account.id, self._now())

    def check_account(self, caller: Caller, account_id: str) -> AccountView:
        """Check the credentials at the provider. A valid account becomes active again.

        Raises:
            ResourceNotFound: there is no such account.
        """
        with self._database.read(caller.tenant_id) as session:
            account = _find(session, caller, account_id)
            session.expunge(account)
        # Outside of a transaction: the provider may take seconds.
        result = self._check(account)
        with self._database.write(caller.tenant_id) as session:
            account = _find(session, caller, account_id)
            account.checked_at = self._now()
            account.error = None if result.error is None else dict(result.error)
            if result.is_valid:
                account.state = "active"
                account.failures, account.open_until = 0, None
            self._record(session, account)
            return self._view(account)

    def _apply(self, session: Session, account: Account, change: AccountChange) -> None:
        if change.name is not None:
            account.name = change.name
        if change.settings is not None:
            account.settings = dict(change.settings)
        if change.credentials is not None:
            _ensure_known(account.channel, change.credentials)
            stored = self._open(account)
            credentials = {**stored, **change.credentials}
            if change.keeps_previous:
                replaced = {
                    name
                    for name, new in change.credentials.items()
                    if new and name in stored and not name.endswith(PREVIOUS)
                }
                credentials |= {f"{name}{PREVIOUS}": stored[name] for name in replaced}
            kept = {name: value for name, value in credentials.items() if value}
            account.credentials = self._encryptor.encrypt_text(json.dumps(kept)) if kept else None
        if change.agent_key is not None:
            account.agent_key = (
                self._key_encryptor.encrypt_text(change.agent_key) if change.agent_key else None
            )
        if change.state is not None:
            account.state = change.state
        if change.state == "active" or change.credentials is not None:
            # A new token ends the state that the old one has caused.
            account.state = "active" if change.state is None else change.state
            account.error, account.failures, account.open_until = None, 0, None
        self._update_error(account, change)
        account.updated_at = self._now()
        session.flush()
        self._record(session, account)

    def _update_error(self, account: Account, change: AccountChange) -> None:
        """Remove the error of a check that *change* may have solved.

        Errors of a revoked account stay until it has new credentials or passes a check.
        """
        if account.error is None or account.state == "revoked":
            return
        is_key_missing = account.error.get("code") == KEY_MISSING
        is_solved = bool(change.agent_key) if is_key_missing else change.settings is not None
        if not is_solved:
            return
        # A check of web chat sends no request, so its result can be renewed here.
        result = self._check(account) if account.channel == "web" else CheckResult(is_valid=True)
        account.error = None if result.error is None else dict(result.error)

    def _open(self, account: Account) -> dict[str, str]:
        if account.credentials is None:
            return {}
        try:
            opened = json.loads(self._encryptor.decrypt_text(account.credentials))
        except (DecryptionError, ValueError):
            return {}  # sealed with another SECRET_KEY: they have to be set again
        return {str(name): str(value) for name, value in opened.items()}

    def _view(self, account: Account) -> AccountView:
        return AccountView(
            id=account.id,
            channel=account.channel,
            name=account.name,
            state=account.state,
            error=account.error,
            settings=account.settings,
            credential_names=sorted(self._open(account)),
            has_agent_key=account.agent_key is not None,
            checked_at=account.checked_at,
            created_at=account.created_at,
            updated_at=account.updated_at,
        )

    def _record(self, session: Session, account: Account, *, deleted: bool = False) -> None:
        call_after_commit(session, partial(self._announce, account.id))
        self._message_log.record_account_change(session, account, deleted=deleted)


def _ensure_known(channel: str, credentials: Mapping[str, str | None]) -> None:
    # Accounts may have names that are no longer used: those can be removed.
    unknown = find_unknown(channel, [name for name, value in credentials.items() if value])
    if unknown:
        raise UnknownCredentials(unknown, get_names(channel))


def _find(session: Session, caller: Caller, account_id: str) -> Account:
    account = store.find_account(session, caller.tenant_id, account_id)
    if account is None:
        raise ResourceNotFound("account")
    return account
