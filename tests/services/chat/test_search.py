"""Search of messages: words of several scripts, rights, pages."""

import pytest
from sqlalchemy import select

from backend.services.chat.domain.search_words import index_words, query_words
from backend.services.chat.store import search as store
from backend.services.chat.store.tables import Message
from tests.services.chat.conftest import TEAM
from tests.services.chat.test_web_chat import send


@pytest.mark.parametrize(
    ("message", "query"),
    [
        ("The quick brown fox", "QUICK fox"),
        ("Café crème", "cafe creme"),
        ("cafe creme", "Café"),
        ("Straße nach München", "STRASSE munchen"),
        ("Ελλάδα και Αθήνα", "ελλαδα"),
        ("Привет, Мир", "мир привет"),
        ("東京都に住んでいます", "東京"),
        ("東京都に住んでいます", "京"),
        ("สวัสดีครับ ยินดี", "สวัสดี"),
        ("हिन्दी भाषा", "हिन्दी"),
        ("한국어 메시지", "한국어"),
        ("Order \uff21\uff22\uff23\uff0d\uff11\uff12\uff13", "abc 123"),
        ("\ufb01nal answer", "final"),
        ("e-mail: ada@example.org", "example"),
        ("naïve co-operation", "naive operation"),
        ("C++ and 3.14", "14"),
    ],
)
def test_messages_are_found(client, ada, message, query):
    sent = send(client, ada, message).json["message"]

    items = client.get("/search", query_string={"q": query}, headers=ada).json["items"]

    assert sent["id"] in [item["message"]["id"] for item in items]


@pytest.mark.parametrize("query", ["quickly", "fox hound", "ox", "京東", '" OR "', "NOT fox*"])
def test_other_words_find_nothing(client, ada, query):
    send(client, ada, "The quick brown fox 東京")

    assert client.get("/search", query_string={"q": query}, headers=ada).json["items"] == []


def test_own_messages_only_without_chat_read_and_newest_first(client, ada, bob, colleague):
    mine = send(client, ada, "alpha one").json
    theirs = send(client, bob, "alpha two").json

    def found(who, query="alpha"):
        items = client.get(f"/search?q={query}", headers=who).json["items"]
        return [item["conversation"]["id"] for item in items]

    assert set(found(ada)) == {mine["conversation_id"]}
    assert found(colleague)[0] == theirs["conversation_id"]
    assert set(found(colleague)) == {mine["conversation_id"], theirs["conversation_id"]}


def test_pages_and_highlights(client, ada):
    conversation_id = send(client, ada, "beta 1 Beta").json["conversation_id"]
    send(client, ada, "beta 2", conversation_id=conversation_id)

    first = client.get("/search?q=BETA&limit=3", headers=ada).json
    rest = client.get(f"/search?q=BETA&limit=3&cursor={first['next_cursor']}", headers=ada).json

    texts = [item["message"]["content"]["text"] for item in first["items"] + rest["items"]]
    assert texts == ["You said: beta 2", "beta 2", "You said: beta 1 Beta", "beta 1 Beta"]
    assert rest["items"][0]["highlights"] == [[0, 4], [7, 11]]
    assert rest["next_cursor"] is None


def test_edited_and_deleted_messages_are_found_by_their_current_text(client, ada):
    sent = send(client, ada, "gamma").json
    path = f"/conversations/{sent['conversation_id']}/messages/{sent['message']['id']}"

    def count(query):
        items = client.get(f"/search?q={query}", headers=ada).json["items"]
        return sum(item["message"]["id"] == sent["message"]["id"] for item in items)

    client.patch(path, json={"content": "delta"}, headers=ada)
    assert (count("gamma"), count("delta")) == (0, 1)
    client.delete(path, headers=ada)
    assert count("delta") == 0


def test_words_are_distinct_and_bounded():
    assert index_words("a b A b") == "a b"
    assert len(query_words("x" * 100_000)[0]) == 40
    assert len(index_words(" ".join(map(str, range(20_000)))).split()) == 5_000


def test_stats_count_conversations_and_messages(client, ada, colleague):
    send(client, ada)

    stats = client.get("/stats", headers=colleague).json

    assert stats["conversations"] == {"open": 1}
    assert stats["messages_24h"] == {"inbound": 1, "outbound": 1}
    assert client.get("/stats", headers=ada).status_code == 403


def test_messages_of_other_tenants_are_not_found(client, colleague, identities):
    other = identities.bearer("user-x", tenant_id="tenant-x", permissions=("chat:use", "chat:read"))
    send(client, other, "parcel of another tenant")

    found = client.get("/search?q=parcel", headers=colleague).json["items"]
    own = client.get("/search?q=parcel", headers=other).json["items"]

    assert found == []
    assert {item["conversation"]["owner_id"] for item in own} == {"user-x"}


@pytest.mark.parametrize("limit", [0, store.MAX_SCANNED_MESSAGES], ids=["many", "few"])
def test_users_with_many_and_with_few_messages_find_the_same(
    client, ada, bob, colleague, monkeypatch, limit
):
    monkeypatch.setattr(store, "MAX_SCANNED_MESSAGES", limit)
    mine = send(client, ada, "alpha 100% _beta_ one").json["conversation_id"]
    send(client, bob, "alpha beta two")
    note = {"content": "alpha beta note", "internal": True}
    client.post(f"/conversations/{mine}/messages", json=note, headers=colleague)

    def find(query):
        items = client.get("/search", query_string={"q": query}, headers=ada).json["items"]
        return [item["message"]["content"]["text"] for item in items]

    text = "alpha 100% _beta_ one"
    assert find("alpha beta") == [f"You said: {text}", text]
    assert find("alph") == find("alpha two") == find("note") == []
    page = client.get("/search?q=alpha&limit=1", headers=ada).json
    rest = client.get(f"/search?q=alpha&cursor={page['next_cursor']}", headers=ada).json
    assert [item["message"]["content"]["text"] for item in rest["items"]] == [text]


def test_pages_contain_old_messages_too(client, ada, colleague, components):
    sent = [send(client, ada, f"omega {position}").json["message"]["id"] for position in range(5)]
    # Far apart, so that they are in different blocks of the index.
    numbers = [100, 20_000, 200_000, 500_000, 5_000_000]
    with components.database.write(TEAM) as session:
        for message_id, number in zip(sent, numbers, strict=True):
            message = session.scalars(select(Message).where(Message.id == message_id)).one()
            copied = {column.name: getattr(message, column.name) for column in message.__table__.c}
            session.delete(message)
            session.flush()
            session.add(Message(**copied | {"number": number}))
            session.flush()

    found, cursor = [], ""
    while cursor is not None:
        query = {"q": "omega", "limit": 2} | ({"cursor": cursor} if cursor else {})
        page = client.get("/search", query_string=query, headers=colleague).json
        found += [item["message"]["id"] for item in page["items"]]
        cursor = page["next_cursor"]

    assert [message_id for message_id in found if message_id in sent] == sent[::-1]
    assert len(found) == len(set(found)) == 10
