"""Presence of clients in topics: stored with an expiry, and announced to the subscribers."""

import json
from typing import Literal

from backend.services.realtime.domain.topics import Topic
from backend.services.realtime.model import Broker, PresenceEntry, Publication

PRESENCE_SECONDS = 60
# No JSON text begins with it, so that a publication cannot be taken for a change.
_MARKER = "\x01"

Change = Literal["join", "leave"]


async def enter_topic(broker: Broker, topic: Topic, entry: PresenceEntry) -> None:
    """Store that a client is present in *topic*, and announce it.

    Raises:
        BrokerUnavailable: the broker does not respond.
    """
    await broker.add_presence(topic.stream, entry, PRESENCE_SECONDS)
    await _announce(broker, topic, "join", entry.client_id, entry.user_id)


async def leave_topic(broker: Broker, topic: Topic, client_id: str, user_id: str) -> None:
    """Store that a client has left *topic*, and announce it.

    Raises:
        BrokerUnavailable: the broker does not respond.
    """
    await broker.remove_presence(topic.stream, client_id)
    await _announce(broker, topic, "leave", client_id, user_id)


def parse_presence_change(publication: Publication) -> tuple[str, str] | None:
    """Return the change and the client as JSON, or None for any other publication."""
    if not publication.data.startswith(_MARKER):
        return None
    change, _, client = publication.data[1:].partition(" ")
    return change, client


async def _announce(
    broker: Broker, topic: Topic, change: Change, client_id: str, user_id: str
) -> None:
    client = json.dumps({"client": client_id, "user": user_id})
    await broker.publish(topic.stream, f"{_MARKER}{change} {client}", None)
