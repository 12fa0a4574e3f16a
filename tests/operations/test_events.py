"""`python -m backend events`: failed events are listed and delivered again."""

import json
from datetime import UTC, datetime

import pytest

from backend.__main__ import main
from backend.chassis.database.sessions import open_database
from backend.chassis.messaging import received_events
from backend.chassis.messaging.audit_events import NO_REQUEST, AuditEvent
from backend.chassis.messaging.audit_outbox import AuditOutbox
from backend.chassis.messaging.outbox import Outbox
from backend.chassis.messaging.received_events import DeadLetter, ReceivedEvents
from tests.databases import create_sqlite_database

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def database(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    for name in ("DATABASE_URL", "EVENTS_URL", "KAFKA_BROKERS"):
        monkeypatch.delenv(name, raising=False)
    database = open_database(create_sqlite_database(tmp_path / "rag.db", "rag"), "rag")
    yield database
    database.engine.dispose()


def test_rejected_event_is_listed_and_delivered_again(database, capsys):
    AuditOutbox("rag", database).record_event(
        AuditEvent("document.delete", "ada", None, NO_REQUEST)
    )
    outbox = Outbox("rag", database, "audit")
    (event,) = outbox.list_pending_events(1)
    outbox.mark_rejected(event.id, "auth does not know this action")

    assert main(["events", "list"]) == 0
    assert "auth does not know this action" in capsys.readouterr().out
    assert main(["events", "replay", "rag", "audit", event.id]) == 0

    assert [pending.id for pending in outbox.list_pending_events(9)] == [event.id]


def test_service_without_an_outbox_is_skipped(database, tmp_path, capsys):
    create_sqlite_database(tmp_path / "realtime.db", "realtime")

    assert main(["events", "list"]) == 0
    assert capsys.readouterr().out == "No event failed.\n"
    assert main(["events", "status"]) == 0
    assert "rag " in capsys.readouterr().out
    assert main(["events", "replay", "realtime", "audit"]) == 1
    assert "there is no such event" in capsys.readouterr().err


def test_dead_letter_is_listed_and_marked_for_its_consumer(database, capsys):
    with database.as_owner() as connection:
        received_events.create_tables(connection, "rag")
    received = ReceivedEvents("rag", database)
    for number in range(2):
        received.add_dead_letter(
            DeadLetter("reader", str(number), "auth.user-changed", "{}", "ValueError: x", NOON)
        )

    assert main(["events", "status"]) == 0
    status = capsys.readouterr().out.splitlines()
    assert [line.split() for line in status if "reader" in line] == [["rag", "reader", "2"]]
    assert main(["events", "replay", "rag", "reader", "1"]) == 0

    assert [letter.id for letter in received.list_replayed_letters("reader", 9)] == ["1"]
    assert "ValueError: x" in (main(["events", "list"]) or capsys.readouterr().out)


@pytest.mark.parametrize(
    "arguments",
    [("rag", "events"), ("rag", "unknown"), ("gateway", "audit"), ("rag", "audit", "x")],
)
def test_replay_of_unknown_events_fails(database, capsys, arguments):
    assert main(["events", "replay", *arguments]) == 1
    assert "events: " in capsys.readouterr().err


def test_document_is_printed_as_json(capsys):
    assert main(["events", "document"]) == 0

    assert json.loads(capsys.readouterr().out)["asyncapi"] == "3.0.0"


def test_command_creates_no_database(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.delenv("DATABASE_URL", raising=False)

    assert main(["events", "status"]) == 0
    assert not list(tmp_path.glob("*.db"))
