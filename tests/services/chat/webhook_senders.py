"""Accounts of all channels, and providers that sign their webhooks as the real ones do."""

import base64
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from sqlalchemy import select

from backend.chassis.database.sessions import Database, open_database
from backend.chassis.encryption import Encryptor
from backend.services.chat.domain.message_log import MessageLog
from backend.services.chat.domain.webhooks.reception import WebhookReceiver
from backend.services.chat.domain.webhooks.requests import WebhookRequest, WebhookResponse
from backend.services.chat.domain.webhooks.verification import WebhookVerifier
from backend.services.chat.store.tables import (
    Account,
    Conversation,
    Delivery,
    Inbound,
    Message,
)
from tests.databases import database_in

PUBLIC_URL = "https://chat.example"
START = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
SECRET = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CREDENTIALS = {
    "app_secret": SECRET,
    "verify_token": SECRET,
    "signing_secret": SECRET,
    "webhook_secret": SECRET,
    "auth_token": SECRET,
    "secret": f"whsec_{SECRET}",
}


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> datetime:
        return self.time

    def move(self, **duration: float) -> None:
        self.time += timedelta(**duration)


class IgnoredSignals:
    """Receives signals of changes that no test reads."""

    def publish_change(self, conversation_id: str) -> None:
        pass

    def publish_changes(self, conversation_ids: Sequence[str]) -> None:
        pass


class StubTeamsTokens:
    """Accepts one token, in place of keys that are fetched."""

    def is_valid(self, authorization: str | None, body: bytes, settings: Mapping[str, Any]) -> bool:
        return authorization == f"Bearer {SECRET}"


class WebhookSenders:
    """A receiver on a database of its own, and the providers that send to it."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.database: Database = open_database(database_in(folder, "chat"), "chat")
        self.database.migrate("chat")
        self.encryptor = Encryptor("a secret of the tests, long enough", "chat/secrets")
        self.log = MessageLog(IgnoredSignals(), self.clock)
        self.receiver = WebhookReceiver(
            self.database,
            self.encryptor,
            WebhookVerifier(StubTeamsTokens()),
            self.log,
            PUBLIC_URL,
            self.clock,
        )

    def add_account(
        self,
        channel: str,
        account_id: str = "acc_1",
        tenant_id: str = "t1",
        settings: dict[str, Any] | None = None,
        credentials: dict[str, str] | None = None,
    ) -> str:
        with self.database.write(tenant_id) as session:
            session.add(
                Account(
                    id=account_id,
                    tenant_id=tenant_id,
                    channel=channel,
                    name=channel,
                    settings=settings or {},
                    credentials=self.encryptor.encrypt_text(
                        json.dumps(CREDENTIALS if credentials is None else credentials)
                    ),
                    created_at=self.clock(),
                    updated_at=self.clock(),
                )
            )
        return account_id

    def build_request(
        self,
        channel: str,
        body: bytes,
        account_id: str = "acc_1",
        *,
        is_form: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> WebhookRequest:
        """Return a request that is signed with SECRET."""
        url = f"{PUBLIC_URL}/webhook/{channel}/{account_id}"
        now = int(self.clock().timestamp())
        kind = "application/x-www-form-urlencoded" if is_form else "application/json"
        signed = sign(channel, url, body, now)
        return WebhookRequest(
            "POST", url, {"content-type": kind, **signed, **(headers or {})}, {}, body, now
        )

    def send(
        self, channel: str, payload: dict[str, Any], account_id: str = "acc_1"
    ) -> WebhookResponse:
        """Send *payload* as its provider does."""
        is_form = channel == "twilio"
        body = urlencode(payload).encode() if is_form else json.dumps(payload).encode()
        request = self.build_request(channel, body, account_id, is_form=is_form)
        return self.receiver.receive(channel, account_id, request)

    def list_messages(self) -> list[Message]:
        """Return all messages in display order."""
        return self._list(select(Message).order_by(Message.sent_at, Message.seq))

    def list_conversations(self) -> list[Conversation]:
        return self._list(select(Conversation).order_by(Conversation.created_at, Conversation.id))

    def list_inbound(self) -> list[Inbound]:
        return self._list(select(Inbound).order_by(Inbound.received_at, Inbound.id))

    def list_deliveries(self) -> list[Delivery]:
        return self._list(select(Delivery).order_by(Delivery.position))

    def list_rows(self, table: Any) -> list[Any]:
        return self._list(select(table))

    def _list(self, query: Any) -> list[Any]:
        with self.database.across_tenants().read() as session:
            rows = list(session.scalars(query))
            session.expunge_all()
            return rows


def sign(channel: str, url: str, body: bytes, now: int) -> dict[str, str]:
    """Return the headers with which the provider of *channel* signs *body*."""
    key = SECRET.encode()
    if channel == "slack":
        signature = hmac.new(key, f"v0:{now}:".encode() + body, "sha256").hexdigest()
        return {"x-slack-request-timestamp": str(now), "x-slack-signature": f"v0={signature}"}
    if channel == "telegram":
        return {"x-telegram-bot-api-secret-token": SECRET}
    if channel == "teams":
        return {"authorization": f"Bearer {SECRET}"}
    if channel == "twilio":
        fields = sorted(parse_qsl(body.decode(), keep_blank_values=True))
        text = url + "".join(name + value for name, value in fields)
        digest = hmac.digest(key, text.encode(), "sha1")
        return {"x-twilio-signature": base64.b64encode(digest).decode()}
    if channel == "generic":
        message = f"m1.{now}.".encode() + body
        digest = hmac.digest(base64.b64decode(SECRET), message, "sha256")
        return {
            "webhook-id": "m1",
            "webhook-timestamp": str(now),
            "webhook-signature": "v1," + base64.b64encode(digest).decode(),
        }
    return {"x-hub-signature-256": "sha256=" + hmac.new(key, body, "sha256").hexdigest()}
