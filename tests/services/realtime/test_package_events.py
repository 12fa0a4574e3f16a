"""Events of packages as publications to topics."""

import asyncio
import json
from datetime import UTC, datetime

import pytest
from sqlalchemy.orm import Session

from backend.chassis.messaging.cloud_events import Event
from backend.services.realtime.jobs.events import EventHandlers

EVENT_ID = "0b5a4b3e-6d0f-4c0a-9a36-9a3e0b7f5c11"


class RecordingBroker:
    """Keeps the stream, the key and the data of each publication."""

    def __init__(self) -> None:
        self.published: list[tuple[str, str, dict]] = []

    async def publish_all(self, publications) -> None:
        self.published += [(each.stream, each.key, json.loads(each.data)) for each in publications]

    def run(self, call) -> None:
        asyncio.run(call(self))


@pytest.mark.parametrize(
    ("kind", "location", "topics"),
    [
        ("packages.changed", None, []),
        ("packages.status-changed", None, ["dashboard"]),
        ("packages.event-recorded", {"name": "Frankfurt"}, []),
        ("packages.event-recorded", {"lat": 50.1, "lon": 8.7}, ["map"]),
        ("packages.deleted", None, ["map", "dashboard"]),
    ],
)
def test_event_of_a_package_is_published_to_the_topics_of_its_tenant(kind, location, topics):
    broker = RecordingBroker()
    handlers = EventHandlers(None, broker)
    event = Event(
        specversion="1.0",
        id=EVENT_ID,
        source="/packages",
        subject="pkg_1",
        partitionkey="pkg_1",
        type=kind,
        time=datetime(2026, 6, 1, tzinfo=UTC),
        tenant="ten_home",
        data={"package_id": "pkg_1", "location": location},
    )

    session = Session()
    handlers.list_handlers()[kind](session, event)
    handlers.send_publications(session)

    expected = ["packages", "packages:pkg_1", *topics]
    assert [stream for stream, _, _ in broker.published] == [
        f"ten_home//{topic}" for topic in expected
    ]
    assert {key for _, key, _ in broker.published} == {"pkg_1"}
    assert {(data["id"], data["type"]) for _, _, data in broker.published} == {(EVENT_ID, kind)}
