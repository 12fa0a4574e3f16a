"""Tests of the leases of conversations."""

from datetime import UTC, datetime, timedelta

import pytest

from backend.chassis.database.sessions import open_database
from backend.chassis.messaging.audit_outbox import AuditOutbox
from backend.services.agent.domain.answers.events import Caller
from backend.services.agent.domain.conversations.conversations import ConversationService
from backend.services.agent.domain.conversations.run_leases import (
    LEASE_DURATION,
    AnswerSnapshot,
    RunLeases,
    UserRequest,
)
from backend.services.agent.errors import ConversationBusy
from backend.services.agent.store.events import LocalEventStore

ADA = Caller("user-ada", "tenant", {})


def create_snapshot(text):
    return AnswerSnapshot(text, "writing", None, "scripted", (), (), 0, 0, 0)


@pytest.fixture
def clock():
    return [datetime(2030, 1, 1, tzinfo=UTC)]


@pytest.fixture
def database(each_database_url):
    database = open_database(each_database_url, "agent")
    database.migrate("agent")
    return database


@pytest.fixture
def run_leases(database, clock):
    return RunLeases(database, lambda: clock[0], AuditOutbox("agent", database))


def test_active_run_renews_its_lease(run_leases, clock):
    run = run_leases.start_run(ADA, UserRequest("Talk."))

    for _ in range(5):
        clock[0] += LEASE_DURATION * 0.9
        assert not run_leases.should_stop_run(ADA, run, lambda: create_snapshot("word"))
        with pytest.raises(ConversationBusy):
            run_leases.start_run(ADA, UserRequest("Second request.", run.conversation_id))

    clock[0] += LEASE_DURATION + timedelta(seconds=1)
    run_leases.start_run(ADA, UserRequest("Third request.", run.conversation_id))
    assert run_leases.should_stop_run(ADA, run, lambda: create_snapshot("too late"))


def test_answer_of_killed_worker_is_stored_and_marked_as_interrupted(run_leases, database, clock):
    conversations = ConversationService(database, LocalEventStore(), lambda: clock[0])
    run = run_leases.start_run(ADA, UserRequest("Talk."))
    clock[0] += LEASE_DURATION * 0.9
    run_leases.should_stop_run(ADA, run, lambda: create_snapshot("Half an answer"))

    clock[0] += LEASE_DURATION + timedelta(seconds=1)
    before = conversations.get_conversation(ADA, run.conversation_id).messages[-1]
    path = run_leases.start_run(ADA, UserRequest("Continue.", run.conversation_id)).path
    after = conversations.get_conversation(ADA, run.conversation_id).messages[1]

    assert (before.status, before.content) == ("interrupted", "Half an answer")
    assert (after.status, after.content) == ("interrupted", "Half an answer")
    assert [message.text for message in path] == ["Talk.", "Half an answer", "Continue."]
