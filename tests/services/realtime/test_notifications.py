"""Domain events become notifications and publications; the list of notifications."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from backend.chassis.messaging.cloud_events import Event
from backend.chassis.messaging.consumer import EventConsumer
from backend.services.realtime.clients.memory_broker import MemoryBroker
from backend.services.realtime.model import BrokerUnavailable

TENANT = "tenant-of-user-ada"
DOCUMENT = {"document_id": "d1", "collection_id": "c1", "owner_id": "user-ada", "title": "Plan"}
RUN = {"run_id": "r1", "conversation_id": "s1", "message_id": "m1", "user_id": "user-ada"}


@pytest.fixture
def apply(realtime):
    """Return a function that applies an event as the consumer of the service does."""
    consumer = realtime.app.extensions["backend.components"][EventConsumer]

    def apply_event(event_type, data, event_id=None, time=None):
        event = Event(
            specversion="1.0",
            id=event_id or str(uuid4()),
            source=f"/{event_type.partition('.')[0]}",
            type=event_type,
            subject="x",
            time=time or datetime.now(UTC),
            partitionkey="x",
            tenant=TENANT,
            data=data,
        )
        consumer.apply_messages([event.encode()])

    return apply_event


@pytest.fixture
def http(realtime, identities):
    client = realtime.app.test_client()
    headers = identities.bearer("user-ada")

    def call(method, path, **options):
        return client.open(path, method=method, headers=headers, **options)

    return call


@pytest.mark.parametrize(
    ("event_type", "data", "kind", "title", "link"),
    [
        (
            "rag.document-ready",
            DOCUMENT,
            "document-ready",
            "Plan is ready",
            "/console/documents/d1",
        ),
        (
            "rag.document-failed",
            DOCUMENT,
            "document-failed",
            "Plan could not be read",
            "/console/documents/d1",
        ),
        (
            "agent.run-finished",
            RUN | {"status": "waiting"},
            "approval-waiting",
            "A tool call waits for your approval",
            "/console/chat/s1",
        ),
    ],
)
def test_event_notifies_its_user(realtime, token, apply, http, event_type, data, kind, title, link):
    with realtime.connect() as client:
        client.authenticate(token)
        client.subscribe("user")
        apply(event_type, data)
        announced = client.receive_data()
    assert announced["type"] == "realtime.notification"
    stored = http("GET", "/notifications").json
    assert stored["unread"] == 1
    (item,) = stored["items"]
    assert (item["kind"], item["title"], item["link"]) == (kind, title, link)
    assert announced["data"]["id"] == item["id"]
    assert announced["data"]["offset"] == item["offset"]


def test_states_of_runs_are_published(realtime, token, apply):
    with realtime.connect() as client:
        client.authenticate(token)
        client.subscribe("agents")
        apply("agent.run-started", RUN)
        apply("agent.run-finished", RUN | {"status": "done"})
        events = [client.receive_data() for _ in range(2)]
    assert [event["type"] for event in events] == ["agent.run-started", "agent.run-finished"]
    assert events[1]["data"] == {"run_id": "r1", "session_id": "s1", "status": "done"}


def test_repeated_event_notifies_once(apply, http):
    event_id = str(uuid4())
    for _ in range(2):
        apply("rag.document-ready", DOCUMENT, event_id)
    assert len(http("GET", "/notifications").json["items"]) == 1


def test_event_waits_while_the_broker_is_unavailable(apply, http, monkeypatch):
    async def fail(*_):
        raise BrokerUnavailable

    event = ("packages.changed", {"package_id": "pkg_1"}, str(uuid4()))
    with monkeypatch.context() as patch:
        patch.setattr(MemoryBroker, "publish_all", fail)
        with pytest.raises(BrokerUnavailable):
            apply(*event)
    published = []

    async def record(_, publications):
        published.extend(each.stream for each in publications)

    monkeypatch.setattr(MemoryBroker, "publish_all", record)
    apply(*event)

    assert published == [f"{TENANT}//packages", f"{TENANT}//packages:pkg_1"]


def test_read_position_moves_forward_only(apply, http):
    for _ in range(3):
        apply("rag.document-ready", DOCUMENT)
    offsets = [item["offset"] for item in http("GET", "/notifications").json["items"]]
    assert offsets == sorted(offsets, reverse=True)
    read = http("PUT", "/notifications/read", json={"offset": offsets[1]}).json
    assert read == {"read_offset": offsets[1], "unread": 1}
    assert http("PUT", "/notifications/read", json={"offset": 1}).json == read
    # A position beyond the last notification must not hide the next one.
    http("PUT", "/notifications/read", json={"offset": 2**62})
    apply("rag.document-ready", DOCUMENT)
    assert http("GET", "/notifications").json["unread"] == 1


def test_notifications_are_paged(apply, http):
    for _ in range(3):
        apply("rag.document-ready", DOCUMENT)
    first = http("GET", "/notifications?limit=2").json
    second = http("GET", f"/notifications?limit=2&cursor={first['next_cursor']}").json
    assert (len(first["items"]), len(second["items"])) == (2, 1)
    assert second["next_cursor"] is None


def test_notifications_older_than_seven_days_are_not_listed(apply, http):
    apply("rag.document-ready", DOCUMENT, time=datetime.now(UTC) - timedelta(days=8))
    listed = http("GET", "/notifications").json
    assert (listed["items"], listed["unread"]) == ([], 0)


def test_notifications_of_other_users_are_not_listed(realtime, identities, apply):
    apply("rag.document-ready", DOCUMENT)
    client = realtime.app.test_client()
    for headers in (
        identities.bearer("user-bob", tenant_id=TENANT),
        identities.bearer("user-ada", tenant_id="tenant-b"),
    ):
        assert client.get("/notifications", headers=headers).json["items"] == []


def test_notifications_need_credentials(realtime):
    assert realtime.app.test_client().get("/notifications").status_code == 401


@pytest.mark.parametrize(
    ("event_type", "topics"),
    [
        ("chat.message-created", ["chat:conversation:conv_1", "chat:inbox"]),
        ("chat.read-moved", ["chat:conversation:conv_1"]),
    ],
)
def test_change_of_a_conversation_reaches_its_topic(realtime, token, apply, event_type, topics):
    data = {"conversation_id": "conv_1", "change_seq": 3, "seq": 2}
    with realtime.connect() as client:
        client.authenticate(token)
        for topic in topics:
            client.subscribe(topic)
        apply(event_type, data)
        received = [client.receive_data() for _ in topics]
    assert [item["type"] for item in received] == [event_type] * len(topics)
    assert received[0]["data"] == data


def test_change_of_a_channel_reaches_the_inbox(realtime, token, apply):
    data = {"account_id": "acc_1", "channel": "slack", "state": "revoked"}
    with realtime.connect() as client:
        client.authenticate(token)
        client.subscribe("chat:inbox")
        apply("chat.account-changed", data)
        received = client.receive_data()
    assert (received["type"], received["data"]["state"]) == ("chat.account-changed", "revoked")
