"""Migrations of tables that contain messages already."""

from datetime import UTC, datetime

import pytest

from backend.chassis.database.sessions import open_database
from backend.services.chat.store.search import search_messages
from backend.services.chat.store.tables import Account, Conversation, Message

NOW = datetime(2030, 1, 1, tzinfo=UTC)
COMMON = {"tenant_id": "team", "created_at": NOW}


@pytest.mark.slow
def test_earlier_messages_are_found_after_the_index_of_words_was_built_again(each_database_url):
    database = open_database(each_database_url, "chat")
    database.migrate("chat", "0020")
    with database.write("team") as session:
        session.add(Account(id="acc", channel="web", name="Web", updated_at=NOW, **COMMON))
        session.flush()
        session.add(
            Conversation(
                id="conv", account_id="acc", channel="web", key="key", updated_at=NOW, **COMMON
            )
        )
        session.flush()
        session.add(
            Message(
                id="msg",
                conversation_id="conv",
                seq=1,
                change_seq=1,
                direction="inbound",
                author="user:ada",
                content={"type": "text", "text": "Where is my parcel?"},
                words="where is my parcel",
                state="received",
                sent_at=NOW,
                **COMMON,
            )
        )

    database.migrate("chat")

    with database.read("team") as session:
        found = search_messages(session, "team", ["parcel"], 10, None, owner_id=None)
        other = search_messages(session, "team", ["invoice"], 10, None, owner_id=None)
        assert [message.id for message, _ in found] == ["msg"]
        assert list(other) == []
    database.engine.dispose()
