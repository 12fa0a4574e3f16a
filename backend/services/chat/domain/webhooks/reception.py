"""Receives webhooks: account, signature, events, storage, and replay of failed ones."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from backend.chassis.database.errors import classify_error
from backend.chassis.database.grouped_writer import GroupedWriter
from backend.chassis.database.sessions import Database, Session
from backend.chassis.encryption import DecryptionError, Encryptor
from backend.services.chat.domain.channels.events import ChannelEvent
from backend.services.chat.domain.channels.fields import InvalidPayload
from backend.services.chat.domain.channels.payloads import parse_payload
from backend.services.chat.domain.channels.registry import CHANNELS
from backend.services.chat.domain.message_log import MessageLog
from backend.services.chat.domain.webhooks.ingestion import (
    ReceivedEvents,
    prepare_events,
    store_events,
)
from backend.services.chat.domain.webhooks.requests import (
    MAX_BODY_BYTES,
    CallRequest,
    WebhookRequest,
    WebhookResponse,
)
from backend.services.chat.domain.webhooks.verification import (
    WebhookSecrets,
    WebhookVerifier,
    answer_subscription,
    open_secrets,
)
from backend.services.chat.errors import (
    ResourceNotFound,
    WebhookRejected,
    WebhookTooLarge,
    WebhookUnreadable,
)
from backend.services.chat.store import inbound
from backend.services.chat.store.accounts import get_account
from backend.services.chat.store.inbound import NewInbound, RawWebhook
from backend.services.chat.store.tables import Account, Inbound

_log = logging.getLogger(__name__)
# How long the sealed body of a webhook is kept for replay.
RAW_LIFETIME: Final = timedelta(days=7)
_MAX_ERROR: Final = 500
_MAX_DIGITS: Final = 15
_META: Final = frozenset({"messenger", "instagram"})
_MAX_ACCOUNTS: Final = 1_000
_IDEMPOTENCY_HEADER: Final = "i-twilio-idempotency-token"


@dataclass(frozen=True, slots=True)
class ReceivedWebhook:
    """An event that was received, or a webhook that could not be processed, without its body."""

    id: str
    account_id: str
    kind: str
    state: str
    error: str | None
    attempts: int
    has_body: bool
    received_at: datetime


@dataclass(frozen=True, slots=True)
class _KnownAccount:
    """An account as it was read at *read_at*. The row belongs to no session."""

    row: Account
    secrets: WebhookSecrets
    read_at: datetime

    @property
    def id(self) -> str:
        return self.row.id

    @property
    def tenant_id(self) -> str:
        return self.row.tenant_id


class WebhookReceiver:
    """Stores the webhooks of all accounts.

    Args:
        database: the tables; webhooks name an account before a tenant is known.
        encryptor: opens credentials and seals bodies.
        verifier: decides whether a request is authentic.
        log: adds and changes messages.
        public_url: address under which the providers call the service, for signatures.
        now: the clock.
        account_lifetime: time for which an account that was read is used, unless `forget_account`
            is called.
    """

    def __init__(
        self,
        database: Database,
        encryptor: Encryptor,
        verifier: WebhookVerifier,
        log: MessageLog,
        public_url: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        account_lifetime: timedelta = timedelta(seconds=5),
    ) -> None:
        self._account_lifetime = account_lifetime
        self._public_url = public_url
        self._database = database
        self._every_tenant = database.across_tenants()
        self._writer = GroupedWriter(database, self._store)
        self._accounts: dict[str, _KnownAccount] = {}
        self._encryptor = encryptor
        self._verifier = verifier
        self._log = log
        self._now = now

    def build_url(self, path: str, query: str) -> str:
        """Return the URL that the provider called. The Host header is that of a proxy here."""
        url = self._public_url + path
        return f"{url}?{query}" if query else url

    def confirm_subscription(
        self, channel: str, account_id: str, query: Mapping[str, str]
    ) -> WebhookResponse:
        """Answer the request with which Meta verifies the URL of a webhook.

        Raises:
            ResourceNotFound: the channel has no such account.
            WebhookRejected: the verify token is not the account's.
        """
        account = self._find_account(channel, account_id)
        challenge = answer_subscription(account.secrets, query)
        if challenge is None:
            raise WebhookRejected
        return WebhookResponse(challenge)

    def receive(self, channel: str, account_id: str, request: WebhookRequest) -> WebhookResponse:
        """Verify and store a webhook. It is stored when this returns.

        A body that cannot be processed is stored as failed and accepted, because the provider would
        only send it again.

        Raises:
            ResourceNotFound: the channel has no such account.
            WebhookRejected: the signature is not valid.
            WebhookTooLarge: the body has more than 4 MB.
        """
        if len(request.body) > MAX_BODY_BYTES:
            raise WebhookTooLarge(MAX_BODY_BYTES)
        account = self._find_account(channel, account_id)
        if not self._verifier.is_authentic(account.secrets, request):
            raise WebhookRejected
        raw = self._seal(request)
        try:
            events = _normalise(channel, request.body, account.secrets.settings)
            key = _get_request_key(request)[:100]
            prepared = prepare_events(account.row, events, raw=raw, request_key=key)
            if prepared.events:
                self._writer.write(account.tenant_id, prepared)
        except InvalidPayload as error:
            self._keep_failed(account, request.body, raw, str(error))
            events = []
        except Exception as error:  # a defect: the webhook is kept, not lost
            if classify_error(error) is not None:
                raise  # the provider sends it again
            _log.exception("webhook of account %s failed", account.id)
            self._keep_failed(account, request.body, raw, type(error).__name__)
            events = []
        response = build_response(account.secrets.channel, events)
        return replace(response, call=_find_call(account, request, events))

    def replay(self, tenant_id: str, inbound_id: str) -> ReceivedWebhook:
        """Process a stored webhook again. Events that are stored already stay as they are.

        Raises:
            ResourceNotFound: the tenant has no such webhook, or its body is deleted.
            WebhookUnreadable: it still cannot be parsed.
        """
        try:
            return self._replay(tenant_id, inbound_id)
        except InvalidPayload as error:
            raise WebhookUnreadable(str(error)) from error

    def _replay(self, tenant_id: str, inbound_id: str) -> ReceivedWebhook:
        with self._database.write(tenant_id) as session:
            row = inbound.find_inbound(session, tenant_id, inbound_id)
            account = get_account(session, row.account_id) if row is not None else None
            if row is None or row.raw is None or account is None:
                raise ResourceNotFound("received webhook with a body")
            body, headers = self._open(row)
            row.attempts += 1
            events = _normalise(account.channel, body, account.settings)
            key = headers.get(_IDEMPOTENCY_HEADER, "")[:100]
            prepared = prepare_events(account, events, request_key=key)
            store_events(session, [prepared], self._log, self._now())
            row.state, row.error = "done", None
            return _describe(row)

    def list_received(
        self,
        tenant_id: str,
        state: str | None,
        limit: int,
        before: tuple[datetime, str] | None,
    ) -> list[ReceivedWebhook]:
        """Return received events, latest first."""
        with self._database.read(tenant_id) as session:
            rows = inbound.list_inbound(session, tenant_id, state, limit, before)
            return [_describe(row) for row in rows]

    def count_waiting(self) -> int:
        """Return the number of webhooks that wait for the next transaction."""
        return self._writer.count_waiting()

    def forget_account(self, account_id: str) -> None:
        """Read the account again at its next webhook: it has changed."""
        self._accounts.pop(account_id, None)

    def _find_account(self, channel: str, account_id: str) -> _KnownAccount:
        known = self._accounts.get(account_id)
        if known is None or known.read_at + self._account_lifetime <= self._now():
            known = self._read_account(account_id)
        if not _is_of_channel(known, channel):
            raise ResourceNotFound("account of this channel")
        return known

    def _read_account(self, account_id: str) -> _KnownAccount:
        with self._every_tenant.read() as session:
            account = get_account(session, account_id)
            if account is None:
                raise ResourceNotFound("account of this channel")
            session.expunge(account)
            known = _KnownAccount(account, open_secrets(self._encryptor, account), self._now())
        if len(self._accounts) >= _MAX_ACCOUNTS:
            self._accounts.clear()
        self._accounts[account_id] = known
        return known

    def _store(self, session: Session, webhooks: Sequence[ReceivedEvents]) -> None:
        store_events(session, webhooks, self._log, self._now())

    def _keep_failed(self, known: _KnownAccount, body: bytes, raw: RawWebhook, error: str) -> None:
        key = f"raw:{hashlib.sha256(body).hexdigest()}"
        error = error[:_MAX_ERROR]
        with self._database.write(known.tenant_id) as session:
            account = get_account(session, known.id)
            if account is None:
                raise ResourceNotFound("account of this channel")
            failed = NewInbound(account, key, "", raw, "failed", error)
            if inbound.add_inbound(session, [failed], self._now()) == [None]:
                inbound.count_failed_attempt(session, account.id, key, error)

    def _seal(self, request: WebhookRequest) -> RawWebhook:
        headers = {
            name: value
            for name in ("content-type", _IDEMPOTENCY_HEADER)
            if (value := request.get_header(name)) is not None
        }
        return RawWebhook(
            self._encryptor.encrypt_bytes(request.body),
            self._encryptor.encrypt_bytes(json.dumps(headers).encode()),
            self._now() + RAW_LIFETIME,
        )

    def _open(self, row: Inbound) -> tuple[bytes, dict[str, str]]:
        try:
            body = self._encryptor.decrypt_bytes(row.raw or b"")
            headers = json.loads(self._encryptor.decrypt_bytes(row.headers or b""))
        except (DecryptionError, ValueError) as error:
            raise ResourceNotFound("received webhook with a body") from error
        return body, headers


def _describe(row: Inbound) -> ReceivedWebhook:
    return ReceivedWebhook(
        row.id,
        row.account_id,
        row.kind,
        row.state,
        row.error,
        row.attempts,
        row.raw is not None,
        row.received_at,
    )


def _is_of_channel(account: _KnownAccount, channel: str) -> bool:
    own = account.secrets.channel
    return channel in CHANNELS and (own == channel or {own, channel} == _META)


def _normalise(channel: str, body: bytes, settings: Mapping[str, Any]) -> list[ChannelEvent]:
    return CHANNELS[channel].normalise(parse_payload(body), settings)


def _get_request_key(request: WebhookRequest) -> str:
    """Return what distinguishes requests whose events have no id.

    The URLs of a call have a turn, for providers that send no token.
    """
    token = request.get_header(_IDEMPOTENCY_HEADER)
    turn = request.query.get("turn")
    if token or not turn:
        return token or ""
    return hashlib.sha256(f"{request.url} {request.body!r}".encode()).hexdigest()


def _find_call(
    account: _KnownAccount, request: WebhookRequest, events: Sequence[ChannelEvent]
) -> CallRequest | None:
    """Return the request of a call that *events* are of, or None."""
    for event in events:
        is_input = event.kind == "message" and bool(event.context.get("call_sid"))
        if not is_input and event.kind != "call":
            continue
        call_sid = event.context.get("call_sid") if is_input else event.get_text("external_id")
        return CallRequest(
            account.tenant_id,
            account.id,
            str(call_sid),
            request.url.partition("?")[0],
            "" if is_input else event.get_text("event"),
            is_input,
            _get_count(request, "turn"),
            _get_count(request, "wait"),
            _get_count(request, "silence"),
        )
    return None


def _get_count(request: WebhookRequest, name: str) -> int:
    text = request.query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else 0


def build_response(channel: str, events: Sequence[ChannelEvent]) -> WebhookResponse:
    """Return the response that the provider expects once the webhook is stored."""
    for event in events:
        if event.kind == "challenge":
            return WebhookResponse(event.get_text("answer"))
    if channel == "twilio":
        return WebhookResponse("<Response/>", "text/xml")
    if channel == "teams":
        return WebhookResponse("{}", "application/json")
    return WebhookResponse()
