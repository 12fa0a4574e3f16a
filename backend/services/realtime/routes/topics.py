"""Routes for tickets, topics, their history and presence, and for publishing."""

import json
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from flask import Blueprint
from pydantic import BaseModel, Field, JsonValue, RootModel

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import request_example, responds_with
from backend.security import (
    FiniteNumbers,
    Input,
    Permission,
    Principal,
    authenticated,
    current_principal,
    invalid_field,
    require_permission,
    validate_input,
    validate_query,
)
from backend.services.realtime.domain.loop_calls import LoopCalls
from backend.services.realtime.domain.positions import parse_position
from backend.services.realtime.domain.publications import (
    OwnerRequired,
    TooLarge,
    format_event,
    publish,
    read_history,
)
from backend.services.realtime.domain.tickets import TICKET_SECONDS, issue_ticket
from backend.services.realtime.domain.topics import (
    MAX_TOPIC_CHARACTERS,
    Topic,
    TopicForbidden,
    UnknownTopic,
    list_kinds,
    resolve_topic,
)
from backend.services.realtime.errors import (
    DeliveryUnavailable,
    InvalidPosition,
    PublicationTooLarge,
    TopicNotAllowed,
    TopicNotFound,
)
from backend.services.realtime.model import (
    MAX_PUBLICATION_BYTES,
    Broker,
    BrokerUnavailable,
    Position,
    PresenceEntry,
    Publication,
)

T = TypeVar("T")

bp = Blueprint("topics", __name__)
_MAX_PRESENCE = 1000

TopicName = Annotated[str, Field(min_length=1, max_length=MAX_TOPIC_CHARACTERS)]


class TicketResponse(BaseModel):
    """A single-use credential for one connection."""

    ticket: str
    expires_in: int


class TopicResponse(BaseModel):
    """A topic. A name that ends in a colon is completed by an id, as in `agents:RUN`."""

    name: str
    permission: str | None
    history: Literal["stream", "latest"]
    presence: bool


class TopicListResponse(RootModel[Sequence[TopicResponse]]):
    """The topics that the caller may subscribe to."""


class PublicationResponse(BaseModel):
    """One publication of a topic."""

    offset: int
    data: JsonValue


class HistoryResponse(BaseModel):
    """Publications of a topic, oldest first.

    `recovered` is false if publications after the requested position are no longer stored.
    """

    epoch: str
    offset: int
    recovered: bool
    publications: Sequence[PublicationResponse]


class HistoryQuery(Input):
    """Position after which to read, EPOCH:OFFSET, and the maximum number of publications."""

    since: Annotated[str, Field(max_length=96)] | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class PresenceUser(BaseModel):
    """A user who is present in a topic, and the number of their connections."""

    user_id: str
    clients: int
    since: datetime


class PresenceResponse(BaseModel):
    """The users who are present in a topic."""

    items: Sequence[PresenceUser]


class PublishRequest(Input):
    """A publication. `user_id` is needed for topics of users, `key` for those with latest values.

    Subscribers receive `{"id", "type", "time", "data"}`.
    """

    tenant_id: Annotated[str, Field(min_length=1, max_length=64)]
    topic: TopicName
    data: Annotated[JsonValue, FiniteNumbers]
    type: Annotated[str, Field(pattern=r"^[a-z][a-z0-9.-]{0,63}$")] = "external.published"
    user_id: Annotated[str, Field(max_length=64)] = ""
    key: Annotated[str, Field(max_length=128)] = ""
    history: bool = True


class PublishResponse(BaseModel):
    """The position of the publication; offset 0 without history."""

    epoch: str
    offset: int


@bp.post("/tickets")
@authenticated
@responds_with(TicketResponse, 201, errors=(DeliveryUnavailable,))
def create_ticket() -> TicketResponse:
    """Get a ticket, a credential for one connection within 30 seconds.

    For browsers, which cannot send headers with a WebSocket or an event stream: connect to
    `/ws/connect?ticket=…` or `/sse/TOPIC?ticket=…`.
    """
    principal = current_principal()

    async def issue(broker: Broker) -> str:
        return await issue_ticket(broker, principal)

    return TicketResponse(ticket=_run(issue), expires_in=TICKET_SECONDS)


@bp.get("/topics")
@authenticated
@responds_with(TopicListResponse)
def list_topics() -> TopicListResponse:
    """List the topics that the caller may subscribe to."""
    return TopicListResponse(
        [
            TopicResponse(
                name=kind.name,
                permission=kind.permission,
                history="latest" if kind.retention.by_key else "stream",
                presence=kind.presence,
            )
            for kind in list_kinds(current_principal())
        ]
    )


@bp.get("/history/<topic>")
@authenticated
@validate_query(HistoryQuery)
@responds_with(
    HistoryResponse, errors=(TopicNotFound, TopicNotAllowed, InvalidPosition, DeliveryUnavailable)
)
@request_example(topic="user")
def get_history(query: HistoryQuery, topic: str) -> HistoryResponse:
    """Get the stored publications of a topic, all or those after a position."""
    resolved = _resolve(topic)
    since = parse_position(query.since)

    async def read(broker: Broker) -> tuple[Position, bool, list[Publication]]:
        return await read_history(broker, resolved, since)

    position, recovered, publications = _run(read)
    return HistoryResponse(
        epoch=position.epoch,
        offset=position.offset,
        recovered=recovered,
        publications=[
            PublicationResponse(offset=item.offset, data=json.loads(item.data))
            for item in publications[: query.limit]
        ],
    )


@bp.get("/presence/<topic>")
@authenticated
@responds_with(PresenceResponse, errors=(TopicNotFound, TopicNotAllowed, DeliveryUnavailable))
@request_example(topic="chat:inbox")
def get_presence(topic: str) -> PresenceResponse:
    """List the users who are connected to a topic that has presence."""
    resolved = _resolve(topic)
    if not resolved.kind.presence:
        raise TopicNotAllowed

    async def read(broker: Broker) -> Sequence[PresenceEntry]:
        return await broker.list_presence(resolved.stream, _MAX_PRESENCE)

    users: dict[str, list[float]] = {}
    for entry in _run(read):
        users.setdefault(entry.user_id, []).append(entry.since)
    return PresenceResponse(
        items=[
            PresenceUser(
                user_id=user_id, clients=len(times), since=datetime.fromtimestamp(min(times), UTC)
            )
            for user_id, times in sorted(users.items())
        ]
    )


@bp.post("/publish")
@require_permission(Permission.REALTIME_PUBLISH)
@validate_input(PublishRequest)
@responds_with(
    PublishResponse,
    202,
    errors=(TopicNotFound, TopicNotAllowed, PublicationTooLarge, DeliveryUnavailable),
)
@request_example(
    {"tenant_id": "t-1", "topic": "packages", "data": {"package_id": "p-1", "status": "delivered"}}
)
def publish_event(body: PublishRequest) -> PublishResponse:
    """Submit a publication to a topic of the caller's tenant.

    For programs outside of the system.
    """
    principal = current_principal()
    if body.tenant_id != principal.tenant_id:
        raise TopicNotAllowed
    if body.topic == "system" and Permission.SYSTEM_WRITE not in principal.permissions:
        raise TopicNotAllowed
    data = format_event(body.type, body.data)

    async def send(broker: Broker) -> Position:
        return await publish(
            broker,
            body.tenant_id,
            body.topic,
            data,
            user_id=body.user_id,
            key=body.key,
            history=body.history,
        )

    try:
        position = _run(send)
    except UnknownTopic:
        raise TopicNotFound from None
    except OwnerRequired:
        raise invalid_field("#/user_id", "This topic needs the user_id of the recipient.") from None
    except TooLarge:
        raise PublicationTooLarge(MAX_PUBLICATION_BYTES) from None
    return PublishResponse(epoch=position.epoch, offset=position.offset)


def _resolve(name: str) -> Topic:
    principal: Principal = current_principal()
    try:
        return resolve_topic(name, principal)
    except UnknownTopic:
        raise TopicNotFound from None
    except TopicForbidden:
        raise TopicNotAllowed from None


def _run(call: Callable[[Broker], Coroutine[Any, Any, T]]) -> T:
    try:
        return use(LoopCalls).run(call)
    except BrokerUnavailable:
        raise DeliveryUnavailable from None
