"""Handlers of domain events: notifications of users, and topics of agent runs and packages."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from backend.chassis.database.sessions import Database, Session
from backend.chassis.messaging.brokers import open_broker
from backend.chassis.messaging.brokers.local import LocalBroker
from backend.chassis.messaging.cloud_events import Event
from backend.chassis.messaging.consumer import EventConsumer, Handler
from backend.services.realtime.domain.loop_calls import LoopCalls
from backend.services.realtime.domain.notifications import NewNotification, NotificationService
from backend.services.realtime.domain.publications import build_publication, format_event
from backend.services.realtime.model import BrokerUnavailable, NewPublication

# Key in `Session.info`: publications that are sent before the commit.
_PUBLICATIONS: Final = "publications"
_RUNS_TOPIC = "agents"
_PACKAGES_TOPIC = "packages"
_MAP_TOPIC = "map"
_DASHBOARD_TOPIC = "dashboard"
# Events that change figures of the dashboard.
_DASHBOARD_EVENTS = frozenset(
    {
        "packages.created",
        "packages.deleted",
        "packages.status-changed",
        "packages.eta-changed",
        "packages.investigated",
    }
)
_INBOX_TOPIC = "chat:inbox"
_CHAT_EVENTS = (
    "chat.message-created",
    "chat.message-edited",
    "chat.message-deleted",
    "chat.message-state-changed",
    "chat.conversation-created",
    "chat.conversation-changed",
    "chat.read-moved",
    "chat.reaction-changed",
    "chat.handed-over",
)
# Changes that move or mark a conversation in the list of the inbox.
_INBOX_EVENTS = frozenset(
    {
        "chat.message-created",
        "chat.conversation-created",
        "chat.conversation-changed",
        "chat.handed-over",
    }
)

Id = Annotated[str, Field(min_length=1, max_length=64)]
Kind = Literal["document-ready", "document-failed", "approval-waiting"]


class _DocumentEvent(BaseModel):
    """The members of rag's events that a notification needs."""

    model_config = ConfigDict(extra="ignore")

    document_id: Id
    owner_id: Id
    title: str


class _RunEvent(BaseModel):
    """The members of the agent's events that the topic of runs and notifications need."""

    model_config = ConfigDict(extra="ignore")

    run_id: Id
    conversation_id: Id
    user_id: Id
    status: str | None = None


class _PackageLocation(BaseModel):
    model_config = ConfigDict(extra="ignore")

    lat: float | None = None
    lon: float | None = None


class _PackageEvent(BaseModel):
    """The members of packages' events that select their topics."""

    model_config = ConfigDict(extra="ignore")

    package_id: Id
    location: _PackageLocation | None = None


class _ChatEvent(BaseModel):
    """The member of the chat service's events that names the topic. All members are published."""

    model_config = ConfigDict(extra="ignore")

    conversation_id: Id


class EventHandlers:
    """Applies the events of other services."""

    def __init__(self, notifications: NotificationService, calls: LoopCalls) -> None:
        self._notifications = notifications
        self._calls = calls

    def list_handlers(self) -> Mapping[str, Handler]:
        """Return the handlers by event type."""
        return {
            "rag.document-ready": self._handle_document,
            "rag.document-failed": self._handle_document,
            "agent.run-started": self._handle_run,
            "agent.run-finished": self._handle_run,
            "packages.created": self._handle_package,
            "packages.changed": self._handle_package,
            "packages.deleted": self._handle_package,
            "packages.event-recorded": self._handle_package,
            "packages.status-changed": self._handle_package,
            "packages.eta-changed": self._handle_package,
            "packages.investigated": self._handle_package,
            **dict.fromkeys(_CHAT_EVENTS, self._handle_chat),
            "chat.account-changed": self._handle_account,
        }

    def _handle_document(self, session: Session, event: Event) -> None:
        document = _DocumentEvent.model_validate(event.data)
        failed = event.type == "rag.document-failed"
        title = f"{document.title[:150]} {'could not be read' if failed else 'is ready'}"
        kind: Kind = "document-failed" if failed else "document-ready"
        link = f"/console/documents/{document.document_id}"
        self._notify(session, event, document.owner_id, kind, title, link)

    def _handle_run(self, session: Session, event: Event) -> None:
        run = _RunEvent.model_validate(event.data)
        if run.status == "waiting":
            link = f"/console/chat/{run.conversation_id}"
            title = "A tool call waits for your approval"
            self._notify(session, event, run.user_id, "approval-waiting", title, link)
        content = {"run_id": run.run_id, "session_id": run.conversation_id, "status": run.status}
        data = format_event(event.type, content, event.id)
        tenant = event.tenant or ""
        _add_publication(session, build_publication(tenant, _RUNS_TOPIC, data, user_id=run.user_id))

    def _handle_package(self, session: Session, event: Event) -> None:
        """Publish to the topics of all packages and of this one, the map and the dashboard."""
        package = _PackageEvent.model_validate(event.data)
        data = format_event(event.type, event.data, event.id)
        topics = [_PACKAGES_TOPIC, f"{_PACKAGES_TOPIC}:{package.package_id}"]
        place = package.location
        has_place = place is not None and place.lat is not None and place.lon is not None
        # A deleted package disappears from the map.
        if has_place or event.type == "packages.deleted":
            topics.append(_MAP_TOPIC)
        if event.type in _DASHBOARD_EVENTS:
            topics.append(_DASHBOARD_TOPIC)
        for topic in topics:
            new = build_publication(event.tenant or "", topic, data, key=package.package_id)
            _add_publication(session, new)

    def _handle_chat(self, session: Session, event: Event) -> None:
        """Publish a change of a conversation to its topic, and some changes to the inbox."""
        conversation_id = _ChatEvent.model_validate(event.data).conversation_id
        data = format_event(event.type, event.data, event.id)
        topics = [f"chat:conversation:{conversation_id}"]
        if event.type in _INBOX_EVENTS:
            topics.append(_INBOX_TOPIC)
        for topic in topics:
            _add_publication(session, build_publication(event.tenant or "", topic, data))

    def _handle_account(self, session: Session, event: Event) -> None:
        """Publish to the inbox, which shows whether the account of a conversation can send."""
        data = format_event(event.type, event.data, event.id)
        _add_publication(session, build_publication(event.tenant or "", _INBOX_TOPIC, data))

    def send_publications(self, session: Session) -> None:
        """Send the publications of the events that were applied in the transaction of *session*.

        A failure is raised: the events are then applied again.
        """
        publications = session.info.get(_PUBLICATIONS)
        if publications:
            self._calls.run(lambda broker: broker.publish_all(publications))

    def _notify(
        self, session: Session, event: Event, user_id: str, kind: Kind, title: str, link: str
    ) -> None:
        self._notifications.add_notification(
            session,
            NewNotification(event.id, event.tenant or "", user_id, kind, title, link, event.time),
        )


def _add_publication(session: Session, publication: NewPublication) -> None:
    session.info.setdefault(_PUBLICATIONS, []).append(publication)


def create_consumer(
    database: Database, events_url: str | None, handlers: EventHandlers
) -> EventConsumer:
    """Return the consumer of this service, not started yet.

    Args:
        events_url: the broker of domain events, or None if there is none outside of this process.
    """
    broker = open_broker(events_url) or LocalBroker()
    return EventConsumer(
        "realtime",
        database,
        broker,
        "realtime",
        handlers.list_handlers(),
        before_commit=handlers.send_publications,
        outage_errors=(BrokerUnavailable,),
    )
