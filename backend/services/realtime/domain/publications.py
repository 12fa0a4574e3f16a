"""Publish to topics, and read their history."""

import json
import uuid
from datetime import UTC, datetime

from backend.services.realtime.domain.topics import Scope, Topic, build_stream_name, find_kind
from backend.services.realtime.model import (
    MAX_PUBLICATION_BYTES,
    Broker,
    NewPublication,
    Position,
    Publication,
)


class TooLarge(Exception):
    """The data exceeds MAX_PUBLICATION_BYTES."""


class OwnerRequired(Exception):
    """A publication to a topic of users names no user."""


def format_event(event_type: str, data: object, event_id: str = "") -> str:
    """Return the data of a publication: a reduced CloudEvent as JSON in one line."""
    event = {
        "id": event_id or uuid.uuid4().hex,
        "type": event_type,
        "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "data": data,
    }
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


async def publish(
    broker: Broker,
    tenant_id: str,
    name: str,
    data: str,
    *,
    user_id: str = "",
    key: str = "",
    history: bool = True,
) -> Position:
    """Publish *data* to the topic *name* of a tenant.

    Args:
        user_id: owner of the publication, for topics whose subscribers see only their own.
        key: for topics that keep the last publication of each key.
        history: False to distribute the publication without storing it.

    Raises:
        UnknownTopic: no topic has this name.
        OwnerRequired: the topic is one of users, and *user_id* is empty.
        TooLarge: *data* is too large.
        BrokerUnavailable: the broker does not respond.
    """
    new = build_publication(tenant_id, name, data, user_id=user_id, key=key, history=history)
    return await broker.publish(new.stream, new.data, new.retention, new.key)


def build_publication(
    tenant_id: str, name: str, data: str, *, user_id: str = "", key: str = "", history: bool = True
) -> NewPublication:
    """Return the publication of *data* to the topic *name*; see `publish`."""
    kind = find_kind(name)
    if kind.scope is Scope.USER and not user_id:
        raise OwnerRequired
    if len(data.encode()) > MAX_PUBLICATION_BYTES:
        raise TooLarge
    stream = build_stream_name(kind, name, tenant_id, user_id)
    return NewPublication(stream, data, kind.retention if history else None, key)


async def read_history(
    broker: Broker, topic: Topic, since: Position | None
) -> tuple[Position, bool, list[Publication]]:
    """Return the end of the stream and its stored publications, or those after *since*.

    The flag is False, and the list empty, if publications after *since* are no longer stored.

    Raises:
        BrokerUnavailable: the broker does not respond.
    """
    retention = topic.kind.retention
    if since is None:
        replay = await broker.read_all(topic.stream, retention)
    else:
        replay = await broker.read(topic.stream, since, retention.max_entries, retention)
    return replay.position, replay.recovered, list(replay.publications)
