"""Value types that several packages of the service share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from backend.chassis.messaging.topics import Retention

MAX_PUBLICATION_BYTES = 256 * 1024
"""Maximum size of the data of one publication, as JSON."""


class Position(NamedTuple):
    """A position in a stream. Offsets of different epochs cannot be compared.

    Attributes:
        epoch: identifies one life of the stream; it changes if the stream was lost.
        offset: number of the last publication, from 1; 0 before the first one.
    """

    epoch: str
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.offset}"


class Publication(NamedTuple):
    """One publication. *offset* is 0 for ephemeral ones; *data* is JSON."""

    offset: int
    data: str


@dataclass(frozen=True, slots=True)
class NewPublication:
    """Data to append to a stream; see `Broker.publish`."""

    stream: str
    data: str
    retention: Retention | None
    key: str = ""


class Replay(NamedTuple):
    """Publications after a position.

    Attributes:
        position: the current end of the stream.
        recovered: False if publications after the requested position are no longer stored. There
            are no publications then.
        publications: in the order of their offsets.
    """

    position: Position
    recovered: bool
    publications: Sequence[Publication]


@dataclass(frozen=True, slots=True)
class PresenceEntry:
    """A client that is present in a topic. *since* is in seconds since the epoch."""

    client_id: str
    user_id: str
    since: float


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """Limits of each connection.

    Attributes:
        message_bytes: maximum size of a message from a client.
        commands_per_second: rate at which commands are accepted.
        command_burst: number of commands that are accepted at once.
        subscriptions: maximum number of subscriptions.
        queued_bytes: bytes that may wait for a slow client before its connection is aborted.
        stall_seconds: time without progress after which a slow connection is aborted.
        lifetime_seconds: time after which a connection is closed, so that the client connects
            again with a current token.
        ping_seconds: interval of pings. A client that has not answered one at the next is gone.
    """

    message_bytes: int = 64 * 1024
    commands_per_second: int = 20
    command_burst: int = 50
    subscriptions: int = 64
    queued_bytes: int = 256 * 1024
    stall_seconds: float = 5.0
    lifetime_seconds: float = 12 * 3600.0
    ping_seconds: int = 25


class BrokerUnavailable(Exception):
    """The broker does not respond."""


MessageCallback = Callable[[str, str, Publication], None]
"""Called with (stream, epoch, publication) for each publication of a subscribed stream."""


class Broker(Protocol):
    """Stores and distributes publications. All methods raise BrokerUnavailable."""

    is_shared: bool
    """True if other processes use the same broker."""

    def start(
        self,
        on_message: MessageCallback,
        on_revocation: Callable[[str], None],
        on_lost: Callable[[], None],
        on_connected: Callable[[], None],
    ) -> None:
        """Connect, and connect again after each failure.

        Args:
            on_message: called for each publication of a subscribed stream.
            on_revocation: called with each message of the revocation channel.
            on_lost: called when messages may be missed from now on.
            on_connected: called when messages are received again. Subscriptions are empty then.
        """

    async def stop(self) -> None: ...

    async def publish(
        self, stream: str, data: str, retention: Retention | None, key: str = ""
    ) -> Position:
        """Append *data* to *stream* and distribute it.

        Without *retention* it is only distributed; the offset is 0.
        """

    async def publish_all(self, publications: Sequence[NewPublication]) -> None:
        """Publish in this order. If it raises, some of them may be published."""

    async def read(
        self, stream: str, since: Position | None, limit: int, retention: Retention
    ) -> Replay:
        """Return the publications after *since*; only the current position if it is None."""

    async def read_all(self, stream: str, retention: Retention) -> Replay:
        """Return all stored publications."""

    async def subscribe(self, stream: str) -> None: ...

    async def unsubscribe(self, stream: str) -> None: ...

    async def get_positions(self, streams: Sequence[str]) -> Sequence[Position | None]:
        """Return the positions of *streams*, None for one that does not exist."""

    async def add_presence(self, stream: str, entry: PresenceEntry, seconds: int) -> None:
        """Store or refresh *entry* for *seconds*."""

    async def remove_presence(self, stream: str, client_id: str) -> None: ...

    async def list_presence(self, stream: str, limit: int) -> Sequence[PresenceEntry]: ...

    async def put_ticket(self, ticket: str, value: str, seconds: int) -> None: ...

    async def take_ticket(self, ticket: str) -> str | None:
        """Return the value of *ticket* and delete it."""
