"""Hourly values, assessments, findings and events of the drift monitor."""

from datetime import UTC, datetime, timedelta

import pytest

from backend.chassis.database.sessions import open_database
from backend.chassis.messaging.outbox import Outbox
from backend.chassis.messaging.publishing import to_cloud_event
from backend.chassis.web.app_factory import get_component
from backend.services.agent.app import create_app
from backend.services.agent.domain.drift.monitor import DriftMonitor
from backend.services.agent.store import drift as store
from backend.services.agent.store.tables import HourlyValueRow
from tests.event_schemas import validate_event
from tests.metrics import wait_for_metrics
from tests.services.agent.fakes import Document, Reply, WordEmbedder, post_query

HOUR = timedelta(hours=1)
LEASE = "The office is on the second floor. The notice period is three months."


class Clock:
    def __init__(self):
        self.time = datetime(2026, 5, 4, 10, 30, tzinfo=UTC)

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def app(settings, identities, clock):
    return identities.trust(create_app(settings, embedder=WordEmbedder(), now=clock))


@pytest.fixture
def database(settings, app):
    return open_database(settings.database_url, "agent").across_tenants()


@pytest.fixture
def monitor(app):
    return get_component(app, DriftMonitor)


def run(monitor):
    while monitor.run():
        pass


def read_values(database) -> dict[str, tuple[int, float]]:
    """Return the number of values and their sum, by series, over all hours."""
    with database.read() as session:
        rows = session.query(HourlyValueRow).all()
        totals: dict[str, tuple[int, float]] = {}
        for row in rows:
            requests, total = totals.get(row.series, (0, 0.0))
            totals[row.series] = (requests + row.requests, total + row.total)
        return totals


def add_measures(database, hour, number, **fields):
    values = {
        "finished_at": hour,
        "failed": False,
        "took_ms": 2_000,
        "tokens": 500,
        "searched": True,
        "refused": False,
        "best_score": 0.6,
    }
    with database.write() as session:
        for index in range(number):
            identifier = f"{hour.timestamp()} {index} {fields}"[:40]
            store.add_measure(session, values | fields | {"id": identifier})


def add_history(database, clock, hours):
    for number in range(1, hours + 1):
        # Durations differ, as those of real answers do.
        hour = clock.time - number * HOUR
        add_measures(database, hour, 10, took_ms=1_800)
        add_measures(database, hour, 11, took_ms=2_200)


def list_drift_events(settings):
    database = open_database(settings.database_url, "agent")
    events = Outbox("agent", database, "events").list_pending_events(500)
    return [event for event in events if event.type == "agent.drift-detected"]


def test_finished_runs_are_added_to_the_values_of_their_hour(
    client, ada, rag_service, database, monitor, clock
):
    rag_service.documents = [Document("d1", "lease.txt", LEASE, ada["Authorization"])]
    post_query(client, ada, "How long is the notice period?")
    post_query(client, ada, "Who is the queen of the moon colony?")
    post_query(client, ada, "What is 6 * 7?")

    monitor.run()
    assert read_values(database) == {}  # the hour has not ended
    clock.time += HOUR
    monitor.run()
    monitor.run()

    values = read_values(database)
    assert values["error_rate"] == (3, 0.0)
    assert values["latency"][0] == values["tokens"][0] == 3
    assert values["refusal_rate"] == (2, 1.0)
    assert values["empty_search_rate"][0] == 2


def test_failed_runs_and_openai_completions_are_measured(
    scripted_settings, identities, model, clock, ada
):
    app = identities.trust(create_app(scripted_settings, embedder=WordEmbedder(), now=clock))
    database = open_database(scripted_settings.database_url, "agent").across_tenants()
    client = app.test_client()
    model.queue_replies(Reply(text="So it is."), *(Reply(status=400) for _ in range(4)))
    body = {"messages": [{"role": "user", "content": "Hello"}]}

    assert client.post("/v1/chat/completions", json=body, headers=ada).status_code == 200
    assert post_query(client, ada, "Hello").status_code >= 500
    clock.time += HOUR
    run(get_component(app, DriftMonitor))

    values = read_values(database)
    assert values["error_rate"] == (2, 1.0)
    assert values["tokens"] == (1, 18.0)


def test_thumbs_down_are_counted_by_hour(client, ada, database, monitor, clock):
    for thumb in ("down", "up", "up"):
        session_id = post_query(client, ada, "What is 6 * 7?").json["session_id"]
        client.post(f"/sessions/{session_id}/feedback", json={"thumb": thumb}, headers=ada)
    clock.time += HOUR

    run(monitor)
    run(monitor)

    assert read_values(database)["thumbs_down_rate"] == (3, 1.0)


def test_jump_is_reported_once_a_day_with_an_event(
    client, database, monitor, clock, settings, identities
):
    add_history(database, clock, 24)
    run(monitor)
    for _ in range(5):
        add_measures(database, clock.time, 21, took_ms=9_000)
        clock.time += HOUR
        run(monitor)

    admin = identities.bearer("user-admin", permissions=["system:read"])
    report = client.get("/drift", headers=admin).json
    series = {item["name"]: item for item in report["series"]}
    (event,) = list_drift_events(settings)

    assert series["latency"]["status"] == "drift"
    assert series["latency"]["expected"] == pytest.approx(2.0, abs=0.1)
    assert series["latency"]["value"] == pytest.approx(9.0)
    assert series["latency"]["basis"] == "all_hours"
    assert series["latency"]["since"] == "2026-05-04T10:00:00Z"
    assert series["latency"]["severity"] == "critical"
    assert series["latency"]["missing_hours"] is None
    assert [hour["value"] for hour in series["latency"]["hours"][-6:]] == pytest.approx(
        [2.0, 9.0, 9.0, 9.0, 9.0, 9.0], abs=0.1
    )
    assert series["latency"]["hours"][0]["expected"] is None
    assert series["latency"]["hours"][-1]["expected"] == pytest.approx(2.0, abs=0.1)
    assert series["tokens"]["severity"] is None
    assert series["tokens"]["status"] == "normal"
    assert series["thumbs_down_rate"]["status"] == "no_data"
    assert [finding["notified"] for finding in report["findings"]] == [False, False, False, True]
    assert {finding["series"] for finding in report["findings"]} == {"latency"}
    assert event.data["series"] == "latency"
    assert event.data["change"] > 3
    validate_event(to_cloud_event("agent", event).to_json())

    clock.time += timedelta(days=1)
    for _ in range(2):
        add_measures(database, clock.time, 21, took_ms=60_000)
        clock.time += HOUR
        run(monitor)
    assert len(list_drift_events(settings)) == 2


def test_metrics_show_active_drift_only_while_it_is_recent(client, database, monitor, clock):
    add_history(database, clock, 24)
    run(monitor)
    wait_for_metrics(client, 'agent_drift_active{series="latency"} 0.0')
    for _ in range(2):
        add_measures(database, clock.time, 21, took_ms=9_000)
        clock.time += HOUR
        run(monitor)

    active = list(monitor.read_metrics())
    clock.time += 12 * HOUR
    later = list(monitor.read_metrics())

    assert {sample.labels["series"]: sample.value for sample in active[0].samples}["latency"] == 1
    assert {sample.value for sample in later[0].samples} == {0.0}
    assert later[1].samples == []


def test_measures_of_a_long_outage_are_added_but_not_assessed(database, monitor, clock):
    add_measures(database, clock.time, 21)
    clock.time += timedelta(days=3)

    run(monitor)

    assert read_values(database)["latency"] == (21, 42.0)
    assert {state.assessment for state in monitor.get_report().series} == {None}


def test_old_values_are_deleted(database, monitor, clock):
    add_measures(database, clock.time, 21)
    clock.time += HOUR
    run(monitor)
    assert read_values(database)

    clock.time += timedelta(weeks=8)
    run(monitor)

    assert read_values(database) == {}


def test_many_measures_are_added_in_batches(database, monitor, clock, monkeypatch):
    monkeypatch.setattr("backend.services.agent.domain.drift.monitor._BATCH_SIZE", 10)
    add_measures(database, clock.time, 35)
    clock.time += HOUR

    run(monitor)

    assert read_values(database)["tokens"] == (35, 35 * 500.0)


def test_drift_requires_system_read(client, ada):
    assert client.get("/drift").status_code == 401
    assert client.get("/drift", headers=ada).status_code == 403


def test_report_counts_the_hours_that_a_baseline_lacks(
    client, database, monitor, clock, identities
):
    admin = identities.bearer("user-admin", permissions=["system:read"])

    def read_latency():
        return client.get("/drift", headers=admin).json["series"][0]

    before = read_latency()
    add_history(database, clock, 5)
    run(monitor)
    learning = read_latency()
    clock.time += 8 * HOUR
    add_history(database, clock, 8)
    run(monitor)
    learned = read_latency()

    assert (before["status"], before["missing_hours"], before["hours"]) == ("no_data", 12, [])
    assert (learning["status"], learning["missing_hours"]) == ("learning", 7)
    assert (learned["status"], learned["missing_hours"]) == ("normal", None)
    assert len(learned["hours"]) == 13


def test_report_has_the_hours_of_two_days_and_assessments_of_earlier_versions(
    client, database, monitor, clock, identities
):
    admin = identities.bearer("user-admin", permissions=["system:read"])
    add_history(database, clock, 20)
    run(monitor)
    with database.write() as session:
        for row in session.query(HourlyValueRow).all():
            row.assessment = {
                name: value for name, value in row.assessment.items() if name != "since"
            }
    clock.time += 40 * HOUR
    add_measures(database, clock.time - HOUR, 21)
    run(monitor)

    hours = client.get("/drift", headers=admin).json["series"][0]["hours"]

    assert len(hours) == 9
    assert hours[0]["hour"] == "2026-05-04T02:00:00Z"
