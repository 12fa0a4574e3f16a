"""History of a tenant: search, export, deletion, retention, rights and audit."""

import csv
import io
import json
from datetime import timedelta

import pytest
from sqlalchemy import func, select, text

from backend.chassis.http import UpstreamUnavailable
from backend.chassis.messaging.audit_outbox import AuditOutbox
from backend.chassis.web.app_factory import get_component
from backend.services.chat.domain.ended_sessions import EndedSessions
from backend.services.chat.domain.retention import RetentionDeletion
from backend.services.chat.jobs.ended_sessions import EndedSessionsJob
from backend.services.chat.jobs.retention import RetentionJob
from backend.services.chat.store import accounts, history
from backend.services.chat.store.ended_sessions import list_ended_sessions
from backend.services.chat.store.tables import Contact, Conversation, Message, Milestone
from backend.services.chat.wiring import ChatComponents
from tests.services.chat.conftest import TEAM
from tests.services.chat.history.conftest import FIRST


@pytest.fixture
def deletion(chat, clock):
    audit = AuditOutbox("chat", chat.database, clock)
    return RetentionDeletion(chat.database, chat.log, audit, clock)


def list_audit(chat):
    query = text(
        "SELECT subject, data FROM chat_outbox WHERE type = 'chat.audit-recorded' ORDER BY seq"
    )
    with chat.database.read() as session:
        rows = session.execute(query).all()
    events = [(row[0], json.loads(row[1]) if isinstance(row[1], str) else row[1]) for row in rows]
    return [(data["action"], subject, data["details"]) for subject, data in events]


def count(chat, table=Message):
    with chat.database.read() as session:
        return session.scalar(select(func.count()).select_from(table))


def write_text(chat, conversation_id, content, author="contact:ada"):
    message_id = chat.write(conversation_id, author=author)
    with chat.database.write() as session:
        message = session.scalar(select(Message).where(Message.id == message_id))
        conversation = session.get_one(Conversation, conversation_id)
        chat.log.edit_message(session, conversation, message, {"type": "text", "text": content})
    return message_id


def test_search_finds_words_titles_people_and_periods(chat, clock, client, manager):
    first, second = chat.open("a"), chat.open("b", "help")
    write_text(chat, first, "Where is my parcel?")
    clock.advance(days=2)
    write_text(chat, second, "The parcel has arrived")
    chat.change(second, status="resolved", title="Ms Lovelace")

    def find(**query):
        response = client.get("/history", query_string=query, headers=manager)
        assert response.status_code == 200, response.text
        return [item["id"] for item in response.json["items"]]

    assert find() == find(q="PARCEL") == [second, first]
    assert find(q="lovelace") == find(channel="slack") == find(status="resolved") == [second]
    assert find(q="parcel where") == [first]
    assert find(q="nothing of that") == find(user_id="nobody") == find(contact_id="nobody") == []
    assert find(since="2026-03-02T00:00:00Z") == [second]
    assert find(until="2026-03-01T00:00:00Z") == []
    page = client.get("/history?q=parcel&limit=1", headers=manager).json
    (item,) = page["items"]
    assert (item["id"], item["account_name"]) == (second, "help")
    assert item["last_message"]["text"] == "The parcel has arrived"
    assert find(q="parcel", limit=1, cursor=page["next_cursor"]) == [first]


def test_export_streams_every_message_and_guards_formulas(chat, client, manager, monkeypatch):
    monkeypatch.setattr("backend.services.chat.domain.history._EXPORT_BATCH", 2)
    conversation = chat.open("a")
    texts = ['=HYPERLINK("http://x")', "+1", "-1", "@SUM(1)", 'a, "b"\nc', "\ud83d half"]
    for content in texts:
        write_text(chat, conversation, content)
    chat.answer(conversation, "user:cleo", is_internal=True)

    lines = client.get("/history/export", headers=manager)
    table = client.get("/history/export?format=csv", headers=manager)

    rows = [json.loads(line) for line in lines.text.splitlines()]
    assert lines.content_type == "application/x-ndjson"
    assert [row["text"] for row in rows[:5]] == texts[:5]
    assert rows[0]["content"] == {"type": "text", "text": texts[0]}
    assert (rows[-1]["internal"], rows[-1]["author"]) == (True, "user:cleo")
    cells = list(csv.DictReader(io.StringIO(table.text, newline="")))
    assert [row["text"] for row in cells[:5]] == [f"'{content}" for content in texts[:4]] + [
        texts[4]
    ]
    assert len(cells) == len(rows) == 7
    assert "attachment" in table.headers["Content-Disposition"]
    found = client.get("/history/export?q=half&channel=whatsapp", headers=manager)
    assert len(found.text.splitlines()) == 7
    assert client.get("/history/export?q=quarter", headers=manager).text == ""
    only = client.get("/history/export?channel=slack", headers=manager)
    assert (only.status_code, only.text) == (200, "")
    assert [action for action, _, _ in list_audit(chat)] == ["chat.history-export"] * 5
    assert list_audit(chat)[4][2] == {"format": "jsonl", "channel": "slack"}


def test_deleted_conversation_is_gone_and_audited(chat, client, manager, colleague):
    conversation = chat.open("a")
    chat.write(conversation)

    assert client.delete(f"/history/{conversation}", headers=colleague).status_code == 403
    assert client.delete(f"/history/{conversation}", headers=manager).status_code == 204

    assert client.delete(f"/history/{conversation}", headers=manager).status_code == 404
    assert count(chat) == 0
    assert ("chat.conversation-delete", conversation, {"messages": 1}) in list_audit(chat)


def test_erased_contact_leaves_no_message_in_any_conversation(chat, clock, client, manager):
    with chat.database.write() as session:
        contact = accounts.get_or_create_contact(
            session, TEAM, "shop", [("wa_id", "1")], "Ada", clock()
        ).id
    author = f"contact:{contact}"
    for number in range(45):
        chat.write(chat.open(f"own {number}", contact_id=contact), author=author)
    group = chat.open("group", "help")
    set_session(chat, group, "session of the group")
    chat.write(group, author=author)
    kept = chat.write(group, author="contact:bob")

    erased = client.delete(f"/history/people/{author}", headers=manager)

    assert erased.json == {"conversations": 45, "messages": 1}
    with chat.database.read() as session:
        assert session.scalars(select(Message.id)).all() == [kept]
        assert session.scalars(select(Conversation.id)).all() == [group]
        # The agent's copies of the messages are deleted as well.
        assert list_ended_sessions(session, 10) == ["session of the group"]
    assert client.get(f"/contacts/{contact}", headers=manager).status_code == 404
    assert client.delete(f"/history/people/{author}", headers=manager).status_code == 404
    assert client.delete("/history/people/nobody", headers=manager).status_code == 404
    assert list_audit(chat) == [("chat.person-erase", author, {"conversations": 45, "messages": 1})]


@pytest.mark.parametrize("route", ["/history/people/contact:", "/contacts/"])
def test_erased_contact_leaves_nothing_of_the_contacts_that_were_merged_into_it(
    chat, clock, client, manager, route
):
    with chat.database.write() as session:
        first, second, third, other = (
            accounts.get_or_create_contact(
                session, TEAM, "shop", [("wa_id", str(number))], "Ada", clock()
            ).id
            for number in range(4)
        )
    group = chat.open("group", "help")
    for contact in (first, second, third):
        chat.write(group, author=f"contact:{contact}")
    kept = chat.write(group, author=f"contact:{other}")
    for source, target in ((first, second), (second, third)):
        body = {"into_id": target}
        assert client.post(f"/contacts/{source}/merge", json=body, headers=manager).json["id"]

    assert client.delete(f"{route}{third}", headers=manager).status_code in {200, 204}

    with chat.database.read() as session:
        assert session.scalars(select(Message.id)).all() == [kept]
        assert session.scalars(select(Contact.id)).all() == [other]


def test_erased_user_leaves_own_conversations_and_answers_to_others(chat, client, ada, manager):
    sent = client.post("/message?wait=0", json={"content": "Hello"}, headers=ada).json
    other = chat.open("a")
    chat.write(other)
    chat.answer(other, "user:user-ada")
    chat.change(other, assignee_id="user-ada", mode="human")

    erased = client.delete("/history/people/user:user-ada", headers=manager)

    assert erased.json == {"conversations": 1, "messages": 1}
    path = f"/conversations/{sent['conversation_id']}"
    assert client.get(path, headers=manager).status_code == 404
    assert client.get(f"/conversations/{other}", headers=manager).json["assignee_id"] is None
    again = client.delete("/history/people/user:user-ada", headers=manager)
    assert (again.status_code, again.json) == (200, {"conversations": 0, "messages": 0})


def test_interrupted_erasure_keeps_statistics_and_audit_and_is_completed_by_a_repetition(
    chat, clock, client, manager, monkeypatch
):
    monkeypatch.setattr("backend.services.chat.domain.erasure._MESSAGES", 2)
    with chat.database.write() as session:
        contact = accounts.get_or_create_contact(
            session, TEAM, "shop", [("wa_id", "1")], "Ada", clock()
        ).id
    author = f"contact:{contact}"
    chat.write(chat.open("own", contact_id=contact), author=author)
    group = chat.open("group", "help")
    for _ in range(5):
        chat.write(group, author=author)
        clock.advance(days=1)
    chat.write(group, author="contact:bob")
    chat.update.update_all()
    delete_messages, calls = history.delete_messages_of_author, []

    def delete_and_fail(*args):
        calls.append(args)
        if len(calls) == 2:
            raise RuntimeError("interrupted")
        return delete_messages(*args)

    monkeypatch.setattr(history, "delete_messages_of_author", delete_and_fail)

    interrupted = client.delete(f"/history/people/{author}", headers=manager)

    assert (interrupted.status_code, count(chat)) == (500, 4)
    chat.update.update_all()
    assert sum_stored_inbound(chat) == 4
    assert client.get("/stats?days=30", headers=manager).json["totals"]["messages_in"] == 4

    repeated = client.delete(f"/history/people/{author}", headers=manager)

    assert (repeated.json, count(chat)) == ({"conversations": 0, "messages": 3}, 1)
    chat.update.update_all()
    assert sum_stored_inbound(chat) == 1
    assert list_audit(chat) == [
        ("chat.person-erase", author, {"conversations": 1, "messages": 5}),
        ("chat.person-erase", author, {"conversations": 0, "messages": 3}),
    ]
    assert client.get(f"/contacts/{contact}", headers=manager).status_code == 404


def sum_stored_inbound(chat):
    return sum(row["inbound"] for row in chat.list_rows() if row["account_id"])


def test_deleted_contact_with_many_messages_is_erased_in_batches(
    chat, clock, client, manager, monkeypatch
):
    monkeypatch.setattr("backend.services.chat.domain.erasure._MESSAGES", 2)
    with chat.database.write() as session:
        contact = accounts.get_or_create_contact(
            session, TEAM, "shop", [("wa_id", "1")], "Ada", clock()
        ).id
    group = chat.open("group", "help")
    for _ in range(5):
        chat.write(group, author=f"contact:{contact}")
    sizes = []
    delete_messages = history.delete_messages_of_author

    def delete_and_record(*args):
        sizes.append(delete_messages(*args))
        return sizes[-1]

    monkeypatch.setattr(history, "delete_messages_of_author", delete_and_record)

    assert client.delete(f"/contacts/{contact}", headers=manager).status_code == 204

    assert sizes == [2, 2, 1, 0]
    assert count(chat) == 0
    assert client.delete(f"/contacts/{contact}", headers=manager).status_code == 404


def test_retention_deletes_whole_days_and_keeps_their_statistics(
    chat,
    clock,
    client,
    manager,
    deletion,
    monkeypatch,
):
    monkeypatch.setattr("backend.services.chat.domain.retention._MESSAGES", 2)
    old, living = chat.open("a"), chat.open("b")
    for _ in range(5):
        chat.write(old)
        chat.write(living)
    chat.answer(living)
    chat.change(living, status="resolved")
    clock.advance(days=10)
    chat.write(living)
    before = client.get("/stats?days=30", headers=manager).json["days"]
    assert not deletion.has_expired()

    changed = client.put("/retention", json={"days": 7}, headers=manager)
    assert changed.json["days"] == 7
    batches = 0
    while deletion.delete_next():
        batches += 1

    assert batches > 5
    with chat.database.read() as session:
        assert session.scalars(select(Conversation.id)).all() == [living]
    assert (count(chat), count(chat, Milestone)) == (1, 0)
    retention = client.get("/retention", headers=manager).json
    assert retention["kept_from"] == str((clock() - timedelta(days=7)).date())
    chat.delete(living)
    chat.update.update_all()
    after = client.get("/stats?days=30", headers=manager).json["days"]
    figures = {day["date"]: day["messages_in"] for day in after}
    assert figures[str(FIRST.date())] == 10
    assert after[:-1] == before[:-1]
    assert [(action, details) for action, _, details in list_audit(chat)] == [
        ("chat.retention-change", {"days": 7, "previous_days": None}),
        (
            "chat.retention-delete",
            {"before": retention["kept_from"], "messages": 11, "conversations": 1},
        ),
    ]


def test_longer_retention_does_not_change_what_was_counted(
    chat,
    clock,
    client,
    manager,
    deletion,
):
    chat.write(chat.open("a"))
    clock.advance(days=10)
    client.put("/retention", json={"days": 5}, headers=manager)
    while deletion.delete_next():
        pass
    client.put("/retention", json={"days": None}, headers=manager)
    assert client.get("/retention", headers=manager).json["days"] is None
    clock.advance(days=1)
    chat.write(chat.open("b"))

    chat.update.count_all_days(TEAM)

    assert client.get("/stats?days=30", headers=manager).json["totals"]["messages_in"] == 2
    assert not deletion.has_expired()


def test_retention_job_finds_its_work_once_a_minute(chat, clock, client, manager, deletion):
    job = RetentionJob(deletion, clock)
    assert job.get_next_due_time() is None
    chat.write(chat.open("a"))
    clock.advance(days=10)
    client.put("/retention", json={"days": 1}, headers=manager)

    assert job.get_next_due_time() <= clock()
    assert job.run_once()
    assert not job.run_once()
    assert count(chat) == 0


def set_session(chat, conversation_id, session_id):
    with chat.database.write() as session:
        session.get_one(Conversation, conversation_id).agent_session_id = session_id


def test_agent_deletes_its_copies_of_deleted_messages(
    chat, clock, app, client, manager, agent, deletion
):
    deleted, erased, old, living = (chat.open(name) for name in "abcd")
    of_account = chat.open("e", "help")
    for conversation_id in (deleted, erased, old, living, of_account):
        chat.write(conversation_id)
        set_session(chat, conversation_id, f"session of {conversation_id}")
    with chat.database.write() as session:
        session.get_one(Conversation, erased).owner_id = "user-ada"
    sessions = EndedSessions(chat.database, get_component(app, ChatComponents).agent)
    job = EndedSessionsJob(sessions, clock)
    assert job.get_next_due_time() is None

    client.delete(f"/history/{deleted}", headers=manager)
    client.delete("/history/people/user:user-ada", headers=manager)
    client.delete("/accounts/help", headers=manager)
    assert job.get_next_due_time() <= clock()
    job.run_once()
    first = {f"session of {name}" for name in (deleted, erased, of_account)}
    assert set(agent.deleted_sessions) == first

    clock.advance(days=10)
    chat.write(living)
    client.put("/retention", json={"days": 5}, headers=manager)
    while deletion.delete_next():
        pass
    job.run_once()
    assert set(agent.deleted_sessions) - first == {f"session of {name}" for name in (old, living)}
    assert job.get_next_due_time() is None


def test_deletion_at_the_agent_is_repeated_after_a_failure(chat, clock, client, manager):
    conversation_id = chat.open("a")
    set_session(chat, conversation_id, "session-1")
    client.delete(f"/history/{conversation_id}", headers=manager)

    class Agent:
        ids = None

        def delete_sessions(self, ids):
            if self.ids is None:
                self.ids = []
                raise UpstreamUnavailable("The agent is down.")
            self.ids += ids

    job = EndedSessionsJob(EndedSessions(chat.database, agent := Agent()), clock)
    job.run_once()
    job.run_once()
    assert agent.ids == []
    assert job.get_next_due_time() == clock() + timedelta(minutes=1)
    clock.advance(minutes=1)
    job.run_once()
    assert (agent.ids, job.get_next_due_time()) == (["session-1"], None)


@pytest.mark.parametrize("days", [0, -1, 36_501, "7", 1.5, True])
def test_invalid_retention_is_rejected(client, manager, days):
    assert client.put("/retention", json={"days": days}, headers=manager).status_code == 422


def test_history_needs_chat_manage_and_shows_its_own_tenant_only(
    chat,
    client,
    colleague,
    identities,
):
    conversation = chat.open("a")
    write_text(chat, conversation, "parcel")
    other = identities.bearer("user-eve", tenant_id="tenant-eve", permissions=["chat:manage"])

    for path in ("/history", "/history/export", "/retention"):
        assert client.get(path, headers=colleague).status_code == 403
    assert client.get("/history?q=parcel", headers=other).json["items"] == []
    assert client.get("/history/export", headers=other).text == ""
    assert client.delete(f"/history/{conversation}", headers=other).status_code == 404
    erased = client.delete("/history/people/user:user-ada", headers=other)
    assert erased.json == {"conversations": 0, "messages": 0}
    assert count(chat) == 1
