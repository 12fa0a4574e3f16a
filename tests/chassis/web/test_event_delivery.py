"""Events of the outbox reach the broker while the app runs, also after an outage of the broker."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask

from backend.chassis.database.sessions import open_database
from backend.chassis.messaging.brokers import open_broker
from backend.chassis.messaging.cloud_events import parse_event
from backend.chassis.messaging.outbox import EventRecorder, Outbox
from backend.chassis.observability.metrics import Metrics
from backend.chassis.settings import CommonSettings, Secret
from backend.chassis.web.event_delivery import deliver_events
from backend.services.auth.events import SessionEnded
from tests.databases import database_in
from tests.servers import valkey as run_valkey
from tests.servers import wait_until


class Service:
    """An app that delivers the events of auth's outbox to the broker at *url*."""

    def __init__(self, folder: Path, url: str) -> None:
        database = open_database(database_in(folder, "auth"), "auth")
        database.migrate("auth")
        self.database = database.across_tenants()
        self.outbox = Outbox("auth", self.database, "events")
        self.metrics = Metrics()
        self.broker = open_broker(url)
        common = CommonSettings(
            "auth", False, "127.0.0.1", 5001, folder, url, Secret("a secret of the tests")
        )
        self.app = Flask("auth")
        deliver_events(self.app, common, self.database, self.metrics, self.broker)
        self.app.test_client().get("/")

    def end_session(self, session_id: str) -> None:
        with self.database.write() as session:
            EventRecorder("auth").record_event(
                session,
                SessionEnded(session_id=session_id, user_id="ada", reason="logout"),
                subject=session_id,
                key="ada",
                tenant_id="",
                time=datetime.now(UTC),
            )

    def close(self) -> None:
        for start in self.app.before_request_funcs[None]:
            start.__self__.stop()
        self.broker.close()
        self.database.engine.dispose()


@pytest.fixture
def start(tmp_path):
    running = []

    def start_service(url):
        running.append(Service(tmp_path, url))
        return running[-1]

    yield start_service
    for service in running:
        service.close()


def receive(url, count):
    """Return the subjects of the first *count* events."""
    broker = open_broker(url)
    subscription = broker.subscribe("tests", ["auth"])
    subjects = []

    def has_all():
        contents = subscription.receive_events(0.1)
        subjects.extend(parse_event(content).subject for content in contents)
        subscription.acknowledge_events()
        return len(subjects) >= count

    wait_until(has_all)
    subscription.close()
    broker.close()
    return subjects


def test_committed_event_is_published_and_marked(start, valkey):
    service = start(valkey.url)

    service.end_session("first")

    assert receive(valkey.url, 1) == ["first"]
    wait_until(lambda: service.outbox.get_state().pending == 0)


def test_events_wait_for_the_broker_in_order(start, tmp_path):
    (folder := tmp_path / "valkey").mkdir()
    with run_valkey(folder) as server:
        port, url = server.port, server.url
    service = start(url)
    for number in range(5):
        service.end_session(str(number))
    assert service.outbox.get_state().pending == 5

    with run_valkey(folder, port):
        assert receive(url, 5) == ["0", "1", "2", "3", "4"]


def test_metrics_report_waiting_events_by_channel(start, valkey):
    service = start(valkey.url)

    def read():
        return service.metrics.render_text().decode()

    wait_until(lambda: 'events_outbox_pending{channel="events"} 0.0' in read())
    assert 'events_outbox_oldest_seconds{channel="events"} 0.0' in read()
