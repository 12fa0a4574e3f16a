"""The delivery engine on a database, with simulated providers and a clock that tests move."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select

from backend.chassis.database.sessions import Database, open_database
from backend.security.outbound import AllowedHost
from backend.services.chat.clients.parts import FileUnavailable, MediaFile
from backend.services.chat.clients.provider_http import ProviderHttp
from backend.services.chat.clients.registry import create_channel_clients
from backend.services.chat.domain.message_log import MessageLog
from backend.services.chat.domain.new_messages import NewMessage
from backend.services.chat.domain.sending.engine import DeliveryEngine
from backend.services.chat.jobs.simulation.server import Simulator
from backend.services.chat.store.base import new_id
from backend.services.chat.store.tables import Account, Conversation, Delivery, Message

TENANT = "t1"
KEYS = {
    "whatsapp": "user:15550001",
    "messenger": "user:9001",
    "slack": "channel:C1:1.2",
    "teams": "conversation:a:1",
    "telegram": "chat:77",
    "twilio": "user:+15550002",
    "generic": "user:u1",
}


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = datetime(2030, 1, 2, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class NoSignals:
    def publish_change(self, conversation_id: str) -> None:
        """Ignore the signal."""

    def publish_changes(self, conversation_ids: Sequence[str]) -> None:
        """Ignore the signals."""


class Harness:
    """Accounts at *simulators*, and engines as the workers of several processes."""

    def __init__(self, url: str, simulators: Sequence[Simulator], clock: Any = None) -> None:
        self.clock = clock or Clock()
        self.database: Database = open_database(url, "chat").across_tenants()
        self.database.migrate("chat")
        self.log = MessageLog(NoSignals(), self.clock, self._sign_link)
        self.files: dict[str, bytes] = {}
        self.hosts = [AllowedHost.parse(simulator.host) for simulator in simulators]
        self.engine = self.create_engine()

    def create_engine(self, timeout_seconds: float = 30) -> DeliveryEngine:
        http = ProviderHttp(self.hosts, timeout_seconds=timeout_seconds)
        return DeliveryEngine(
            self.database,
            create_channel_clients(http),
            self.log,
            lambda sealed: json.loads(sealed or "{}"),
            self._load_file,
            "https://suite.example",
            self.clock,
            get_random=lambda: 0.5,
        )

    def add_account(self, simulator: Simulator, **settings: Any) -> str:
        account_id = new_id("acct")
        with self.database.write() as session:
            session.add(
                Account(
                    id=account_id,
                    tenant_id=TENANT,
                    channel=simulator.channel,
                    name=simulator.channel,
                    settings=simulator.get_settings() | settings,
                    credentials=json.dumps(simulator.get_credentials()),
                    created_at=self.clock(),
                    updated_at=self.clock(),
                )
            )
        return account_id

    def add_conversation(
        self, account_id: str, key: str | None = None, details: Mapping[str, Any] | None = None
    ) -> str:
        conversation_id = new_id("conv")
        with self.database.write() as session:
            account = session.get_one(Account, account_id)
            url = account.settings.get("login_url", "").removesuffix("/login")
            session.add(
                Conversation(
                    id=conversation_id,
                    tenant_id=TENANT,
                    account_id=account_id,
                    channel=account.channel,
                    key=key or KEYS[account.channel],
                    last_inbound_at=self.clock(),
                    details=dict(details or ({"service_url": url} if url else {})),
                    created_at=self.clock(),
                    updated_at=self.clock(),
                )
            )
        return conversation_id

    def start(self, simulator: Simulator, key: str | None = None) -> str:
        """Add an account and a conversation. Returns the conversation's id."""
        return self.add_conversation(self.add_account(simulator), key)

    def send(
        self, conversation_id: str, content: str | dict[str, Any], author: str = "agent"
    ) -> str:
        """Add an outbound message and return its id."""
        if isinstance(content, str):
            content = {"type": "text", "text": content}
        with self.database.write() as session:
            conversation = session.get_one(Conversation, conversation_id)
            message, _ = self.log.add_message(
                session, conversation, NewMessage("outbound", author, content)
            )
            return message.id

    def run(self, engine: DeliveryEngine | None = None) -> int:
        """Do all work that is due, and return how many attempts and look-ups were made."""
        engine = engine or self.engine
        engine.recover()
        count = 0
        while engine.run_once():
            count += 1
            assert count < 2_000
        return count

    def run_for(self, seconds: float, step: float = 1.0) -> None:
        """Do the work of the next *seconds*."""
        self.run()
        for _ in range(int(seconds / step)):
            self.clock.advance(step)
            self.run()

    def get_deliveries(self, message_id: str | None = None) -> list[Delivery]:
        query = select(Delivery).order_by(Delivery.position)
        if message_id is not None:
            query = query.where(Delivery.message_id == message_id)
        with self.database.read() as session:
            rows = list(session.scalars(query))
            session.expunge_all()
            return rows

    def get_message(self, message_id: str) -> Message:
        with self.database.read() as session:
            message = session.scalars(select(Message).where(Message.id == message_id)).one()
            session.expunge(message)
            return message

    def get_account(self, account_id: str) -> Account:
        with self.database.read() as session:
            account = session.get_one(Account, account_id)
            session.expunge(account)
            return account

    def close(self) -> None:
        self.database.engine.dispose()

    def _sign_link(self, attachment_id: str) -> str:
        return f"https://suite.example/media/{attachment_id}"

    def _load_file(self, _message_id: str, media: MediaFile) -> bytes:
        content = self.files.get(media.attachment_id)
        if content is None:
            raise FileUnavailable("The file is not stored.")
        return content


@contextmanager
def open_harness(url: str, *simulators: Simulator, clock: Any = None) -> Iterator[Harness]:
    """Open a harness for the time of the block."""
    harness = Harness(url, simulators, clock)
    try:
        yield harness
    finally:
        harness.close()
