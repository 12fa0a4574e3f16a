"""Message templates of the accounts: synchronised with the provider, and checked before use."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from backend.chassis.database.sessions import Database, Session
from backend.chassis.encryption import DecryptionError
from backend.services.chat.clients.outcomes import ChannelAccount
from backend.services.chat.clients.whatsapp_templates import ListedTemplate, TemplatesUnavailable
from backend.services.chat.domain.access import Caller
from backend.services.chat.errors import (
    ProviderFailed,
    ResourceNotFound,
    TemplateNotApproved,
    TemplatesNotListed,
)
from backend.services.chat.store import templates as store
from backend.services.chat.store.accounts import find_account
from backend.services.chat.store.tables import Conversation

# Statuses with which the provider refuses messages. With any other status, messages are sent.
_UNUSABLE: Final = frozenset(
    {"rejected", "paused", "disabled", "pending", "in_appeal", "pending_deletion", "deleted"}
    | {"archived", "limit_exceeded"}
)
# Statuses in webhooks. Other values are quality scores or categories.
_STATUSES: Final = _UNUSABLE | {"approved", "flagged", "reinstated", "unarchived", "locked"}
_SAME_AS_APPROVED: Final = frozenset({"reinstated", "unarchived"})


class TemplateSource(Protocol):
    """Lists the templates of an account at its provider."""

    def list_templates(self, account: ChannelAccount, /) -> Sequence[ListedTemplate]:
        """Return all templates. Raises TemplatesUnavailable."""


@dataclass(frozen=True, slots=True)
class TemplateView:
    """A message template of an account. `reason` says why the provider has rejected it."""

    id: str
    account_id: str
    name: str
    language: str
    category: str
    status: str
    reason: str | None
    components: Sequence[Mapping[str, Any]]
    synced_at: datetime


@dataclass(frozen=True, slots=True)
class TemplateSync:
    """Numbers of templates that the provider lists, and of those that it lists no longer."""

    account_id: str
    listed: int
    removed: int
    synced_at: datetime


class TemplateService:
    """Templates of the caller's tenant.

    Args:
        open_secrets: decrypts the credentials of an account.
        open_source: returns the source of WhatsApp's templates.
    """

    def __init__(
        self,
        database: Database,
        open_secrets: Callable[[str | None], Mapping[str, str]],
        open_source: Callable[[], TemplateSource],
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._open_secrets = open_secrets
        self._open_source = open_source
        self._now = now

    def list_templates(
        self, caller: Caller, account_id: str | None, limit: int, after: str | None
    ) -> list[TemplateView]:
        """Return the templates of the tenant's accounts."""
        with self._database.read(caller.tenant_id) as session:
            rows = store.list_templates(session, caller.tenant_id, account_id, limit, after)
            return [
                TemplateView(
                    id=row.id,
                    account_id=row.account_id,
                    name=row.name,
                    language=row.language,
                    category=row.category,
                    status=row.status,
                    reason=row.reason,
                    components=row.components,
                    synced_at=row.synced_at,
                )
                for row in rows
            ]

    def sync_templates(self, caller: Caller, account_id: str) -> TemplateSync:
        """Store the templates as the provider lists them now.

        Raises:
            ResourceNotFound: the tenant has no such account.
            TemplatesNotListed: the account is not of WhatsApp, or lacks `business_account_id`.
            ProviderFailed: the provider does not list them. The stored ones stay.
        """
        account = self._open_account(caller, account_id)
        # Outside of a transaction: the provider may take seconds for each page.
        try:
            listed = self._open_source().list_templates(account)
        except TemplatesUnavailable as error:
            raise ProviderFailed(error.outcome.code, error.outcome.detail) from error
        now = self._now()
        with self._database.write(caller.tenant_id) as session:
            row = find_account(session, caller.tenant_id, account_id)
            if row is None:
                raise ResourceNotFound("account")
            removed = store.replace_templates(session, row, _to_rows(listed), now)
        return TemplateSync(account_id, len(listed), removed, now)

    def _open_account(self, caller: Caller, account_id: str) -> ChannelAccount:
        with self._database.read(caller.tenant_id) as session:
            row = find_account(session, caller.tenant_id, account_id)
            if row is None:
                raise ResourceNotFound("account")
            if row.channel != "whatsapp" or not row.settings.get("business_account_id"):
                raise TemplatesNotListed
            try:
                secrets = self._open_secrets(row.credentials)
            except DecryptionError as error:
                raise ProviderFailed(
                    "secrets_unreadable", "The credentials must be set again."
                ) from error
            return ChannelAccount(row.id, row.channel, dict(row.settings), secrets)


def ensure_template_usable(
    session: Session, conversation: Conversation, content: Mapping[str, Any]
) -> None:
    """Raise TemplateNotApproved if the provider is known to refuse the template of *content*."""
    if content.get("type") != "template":
        return
    found = find_unusable_status(
        session,
        conversation.account_id,
        str(content.get("name") or ""),
        str(content.get("language") or ""),
    )
    if found is not None:
        raise TemplateNotApproved(*found)


def find_unusable_status(
    session: Session, account_id: str, name: str, language: str
) -> tuple[str, str | None] | None:
    """Return status and reason of a template that the provider refuses, or None if it may be sent.

    A template that was never synchronised may be sent.
    """
    template = store.find_template(session, account_id, name, language)
    if template is None or template.status not in _UNUSABLE:
        return None
    return template.status, template.reason


def set_status(
    session: Session,
    account_id: str,
    name: str,
    language: str,
    status: str,
    reason: str,
    now: datetime,
) -> None:
    """Store the status that the provider reports for a known template."""
    if status in _STATUSES:
        stored = "approved" if status in _SAME_AS_APPROVED else status
        store.set_template_status(
            session, account_id, name, language, stored, reason[:200] or None, now
        )


def _to_rows(listed: Sequence[ListedTemplate]) -> list[store.TemplateRow]:
    return [
        store.TemplateRow(
            external_id=template.external_id,
            name=template.name,
            language=template.language,
            category=template.category,
            status=template.status,
            reason=template.reason or None,
            components=template.components,
        )
        for template in listed
    ]
