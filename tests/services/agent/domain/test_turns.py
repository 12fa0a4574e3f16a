"""How a run holds its conversation."""

from datetime import UTC, datetime, timedelta

import pytest

from backend.chassis.database.sessions import open_database
from backend.services.agent.domain.conversations import Conversations
from backend.services.agent.domain.events import Caller
from backend.services.agent.domain.turns import LEASE, Asked, Turns, Written
from backend.services.agent.errors import ConversationBusy
from backend.services.agent.store.events import LocalEvents

ADA = Caller("user-ada", "tenant", {})


def written(text):
    return Written(text, "writing", None, "scripted", (), (), 0, 0, 0)


@pytest.fixture
def clock():
    return [datetime(2030, 1, 1, tzinfo=UTC)]


@pytest.fixture
def database(each_database_url):
    database = open_database(each_database_url, "agent")
    database.migrate("agent")
    return database


@pytest.fixture
def turns(database, clock):
    return Turns(database, lambda: clock[0])


def test_a_run_that_lives_renews_its_hold(turns, clock):
    turn = turns.begin(ADA, Asked("Talk."))

    for _ in range(5):
        clock[0] += LEASE * 0.9
        assert not turns.must_stop(ADA, turn, lambda: written("word"))
        with pytest.raises(ConversationBusy):
            turns.begin(ADA, Asked("Me too.", turn.conversation_id))

    clock[0] += LEASE + timedelta(seconds=1)
    turns.begin(ADA, Asked("Now me.", turn.conversation_id))
    assert turns.must_stop(ADA, turn, lambda: written("too late"))


def test_what_a_killed_worker_said_is_kept_and_marked(turns, database, clock):
    conversations = Conversations(database, LocalEvents(), lambda: clock[0])
    turn = turns.begin(ADA, Asked("Talk."))
    clock[0] += LEASE * 0.9
    turns.must_stop(ADA, turn, lambda: written("Half an answer"))

    clock[0] += LEASE + timedelta(seconds=1)
    before = conversations.whole(ADA, turn.conversation_id).messages[-1]
    path = turns.begin(ADA, Asked("Go on.", turn.conversation_id)).path
    after = conversations.whole(ADA, turn.conversation_id).messages[1]

    assert (before.status, before.content) == ("interrupted", "Half an answer")
    assert (after.status, after.content) == ("interrupted", "Half an answer")
    assert [each.text for each in path] == ["Talk.", "Half an answer", "Go on."]
