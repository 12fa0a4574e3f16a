"""Fixtures: a chat service whose clock stands still until it is moved, and its history."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from backend.chassis.database.sessions import open_database
from backend.chassis.web.app_factory import get_component
from backend.services.chat.app import create_app
from backend.services.chat.domain.daily_stats import DailyStatsUpdate
from backend.services.chat.domain.message_log import MessageLog
from backend.services.chat.domain.new_messages import NewMessage
from backend.services.chat.jobs.waking import WorkerWaker
from backend.services.chat.store import conversations
from backend.services.chat.store.messages import get_message
from backend.services.chat.store.tables import Account, DailyStats
from tests.services.chat.conftest import TEAM
from tests.services.chat.sending.harness import NoSignals

FIRST = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    def __init__(self):
        self.time = FIRST

    def __call__(self):
        return self.time

    def advance(self, **parts):
        self.time += timedelta(**parts)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def app(settings, identities, clock):
    app = identities.trust(create_app(settings, clock))
    yield app
    get_component(app, WorkerWaker).stop()


@pytest.fixture
def chat(settings, clock):
    database = open_database(settings.database_url, "chat")
    database.migrate("chat")
    yield Chat(database, clock)
    database.engine.dispose()


class Chat:
    """Writes conversations of two accounts as webhooks, the agent and colleagues do."""

    def __init__(self, database, clock):
        self.database = database.across_tenants()
        self.log = MessageLog(NoSignals(), clock)
        self.clock = clock
        self.update = DailyStatsUpdate(self.database, clock)
        for name, channel in (("shop", "whatsapp"), ("help", "slack")):
            with self.database.write() as session:
                session.add(
                    Account(
                        id=name,
                        tenant_id=TEAM,
                        channel=channel,
                        name=name,
                        created_at=clock(),
                        updated_at=clock(),
                    )
                )

    def open(self, key, account="shop", contact_id=None):
        with self.database.write() as session:
            channel = session.get_one(Account, account).channel
            row = {
                "tenant_id": TEAM,
                "account_id": account,
                "channel": channel,
                "key": key,
                "contact_id": contact_id,
                "created_at": self.clock(),
                "updated_at": self.clock(),
            }
            return conversations.get_or_create_conversation(session, row)[0].id

    def write(self, conversation_id, direction="inbound", author="contact:ada", **fields):
        with self.database.write() as session:
            conversation = conversations.find_conversation(session, TEAM, conversation_id)
            content = {"type": "text", "text": "x"}
            new = NewMessage(direction, author, content, **fields)
            return self.log.add_message(session, conversation, new)[0].id

    def answer(self, conversation_id, author="agent", **fields):
        return self.write(conversation_id, "outbound", author, **fields)

    def change(self, conversation_id, **values):
        with self.database.write() as session:
            conversation = conversations.find_conversation(session, TEAM, conversation_id)
            self.log.change_conversation(session, conversation, **values)

    def set_state(self, message_id, state):
        with self.database.write() as session:
            message = get_message(session, message_id)
            conversation = conversations.find_conversation(session, TEAM, message.conversation_id)
            self.log.set_state(session, conversation, message, state)

    def delete(self, conversation_id):
        with self.database.write() as session:
            conversation = conversations.find_conversation(session, TEAM, conversation_id)
            self.log.delete_conversation(session, conversation)

    def list_rows(self):
        with self.database.read() as session:
            rows = session.scalars(
                select(DailyStats).order_by(DailyStats.day, DailyStats.account_id)
            ).all()
            return [
                {column.name: getattr(row, column.name) for column in DailyStats.__table__.columns}
                for row in rows
            ]
