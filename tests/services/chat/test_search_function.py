"""The function that searches on PostgreSQL returns numbers of the session's tenant only."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select

from backend.chassis.database.sessions import open_database
from backend.services.chat.store.tables import Account, Conversation, Message

pytestmark = pytest.mark.postgres

NOW = datetime(2030, 1, 1, tzinfo=UTC)
TENANTS = ("a", "b", "a' | 'x", "a\\")


@pytest.fixture
def database(postgres_url):
    """Messages of four tenants; the number of each is the position of its tenant."""
    database = open_database(postgres_url, "chat")
    database.migrate("chat")
    for number, tenant in enumerate(TENANTS, 1):
        common = {"tenant_id": tenant, "created_at": NOW}
        with database.write(tenant) as session:
            session.add(
                Account(id=f"acc_{number}", channel="web", name="Web", updated_at=NOW, **common)
            )
            session.flush()
            session.add(
                Conversation(
                    id=f"conv_{number}",
                    account_id=f"acc_{number}",
                    channel="web",
                    key="key",
                    owner_id="ada",
                    updated_at=NOW,
                    **common,
                )
            )
            session.flush()
            session.add(
                Message(
                    number=number,
                    id=f"msg_{number}",
                    conversation_id=f"conv_{number}",
                    seq=1,
                    change_seq=1,
                    direction="inbound",
                    author="user:ada",
                    content={"type": "text", "text": "parcel"},
                    words="parcel",
                    state="received",
                    sent_at=NOW,
                    **common,
                )
            )
    yield database
    database.engine.dispose()


def find(session, words="'parcel'", limit=10, owner=None):
    return sorted(session.scalars(select(func.chat_find_messages(words, None, limit, owner))))


@pytest.mark.parametrize("limit", [10, None])
def test_only_messages_of_the_tenant_are_found(database, limit):
    found = []
    for tenant in TENANTS:
        with database.read(tenant) as session:
            found.append(find(session, limit=limit))

    assert found == [[1], [2], [3], [4]]


def test_nothing_is_found_without_a_tenant(database):
    for unbound in (database, database.across_tenants()):
        with unbound.read() as session:
            assert find(session) == []


def test_expressions_reach_no_other_tenant(database):
    with database.read("a") as session:
        for words in ("'parcel' | 'x'", "'#b' | 'parcel'", "!'x'", "'#b'", "'~0'"):
            assert set(find(session, words)) <= {1}
            assert set(find(session, words, owner="ada")) <= {1}
