"""Ephemeral events reach the receivers that listen, and no failure reaches the publisher."""

import threading
from contextlib import contextmanager

import pytest

from backend.chassis.messaging.ephemeral import EphemeralEvent, open_ephemeral_events
from tests.servers import wait_until

TYPING = EphemeralEvent("tenant-a", "chat:conversation:1", {"typing": True, "name": "Zoë"})


@contextmanager
def receiving(events):
    received = []
    stopping = threading.Event()
    thread = threading.Thread(target=events.receive_ephemeral, args=(received.append, stopping))
    thread.start()
    yield received
    stopping.set()
    thread.join(60)
    assert not thread.is_alive()


@pytest.mark.parametrize("kind", ["local", "redis"])
def test_event_is_received_with_tenant_and_topic(kind, request):
    url = request.getfixturevalue("valkey").url if kind == "redis" else None
    events = open_ephemeral_events(url)
    with receiving(events) as received:

        def is_received():
            events.publish_ephemeral(TYPING)
            return received

        wait_until(is_received)
    assert received[0] == TYPING


def test_stopped_server_does_not_reach_the_publisher(valkey, caplog):
    events = open_ephemeral_events(valkey.url)
    valkey.end()

    for _ in range(3):
        events.publish_ephemeral(TYPING)

    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_large_event_is_refused():
    with pytest.raises(ValueError, match="65536 are allowed"):
        open_ephemeral_events(None).publish_ephemeral(
            EphemeralEvent("tenant-a", "agents:run", {"text": "x" * 70_000})
        )
