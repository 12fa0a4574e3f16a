"""Domain events of runs are stored in the transactions that start and finish a run."""

import pytest

from backend.chassis.database.sessions import open_database
from backend.chassis.messaging.outbox import Outbox
from tests.services.agent.fakes import post_query


@pytest.fixture
def list_events(settings):
    database = open_database(settings.database_url, "agent")
    yield lambda: Outbox("agent", database, "events").list_pending_events(100)
    database.engine.dispose()


def test_start_and_end_of_a_run_are_published_without_its_text(client, ada, list_events):
    answer = post_query(client, ada, "What is 6 * 7?").json

    started, finished = list_events()
    assert (started.type, finished.type) == ("agent.run-started", "agent.run-finished")
    assert started.key == finished.key == answer["session_id"]
    assert started.subject == finished.subject == finished.data["run_id"]
    assert finished.data["user_id"] == "user-ada"
    assert (finished.data["status"], finished.data["finish_reason"]) == ("done", "stop")
    assert finished.data["message_id"] == started.data["message_id"]
    assert answer["response"] not in finished.data.values()


def test_request_that_is_refused_starts_no_run(client, ada, list_events):
    response = post_query(client, ada, "Hello!", session_id="conv_unknown")

    assert response.status_code == 404
    assert list_events() == []
