"""How a run holds its conversation."""

from datetime import UTC, datetime, timedelta

import pytest

from backend.chassis.database import open_database
from backend.services.agent.domain.conversations import Conversations
from backend.services.agent.domain.events import Caller
from backend.services.agent.errors import ConversationBusy


def test_a_run_that_lives_renews_its_hold(settings):
    clock = [datetime(2030, 1, 1, tzinfo=UTC)]
    database = open_database(settings.database_url, "agent")
    database.migrate("agent")
    conversations = Conversations(database, lambda: clock[0])
    ada = Caller("user-ada", "tenant", {})
    turn = conversations.begin(ada, None, "Talk.")

    for _ in range(5):
        clock[0] += timedelta(seconds=20)
        assert not conversations.must_stop(ada, turn)
        with pytest.raises(ConversationBusy):
            conversations.begin(ada, turn.conversation_id, "Me too.")

    clock[0] += timedelta(seconds=40)
    conversations.begin(ada, turn.conversation_id, "Now me.")
    assert conversations.must_stop(ada, turn)
