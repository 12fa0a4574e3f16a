"""Every outcome that a caller of the service can see."""

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from backend.chassis.web.problems import ServiceError


class TopicNotFound(ServiceError):
    """No topic has this name."""

    status = 404
    code = "unknown_topic"
    title = "Unknown topic"

    def __init__(self) -> None:
        super().__init__("No topic has this name. GET /realtime/topics lists them.")


class TopicNotAllowed(ServiceError):
    """The caller lacks the permission of the topic."""

    status = 403
    code = "permission_denied"
    title = "Not allowed"

    def __init__(self) -> None:
        super().__init__("You do not have the permission of this topic in this tenant.")


class InvalidPosition(ServiceError):
    """A position is not EPOCH:OFFSET."""

    status = 422
    code = "invalid_position"
    title = "Invalid position"

    def __init__(self) -> None:
        super().__init__("Write the position as EPOCH:OFFSET, as it was received with an event.")


class InvalidTopics(ServiceError):
    """The list of topics of an event stream is empty or too long."""

    status = 422
    code = "invalid_topics"
    title = "Invalid topics"

    def __init__(self, max_topics: int) -> None:
        super().__init__(f"Name one to {max_topics} different topics: /sse?topics=a,b.")


class InvalidTicket(ServiceError):
    """The ticket is unknown, was used or has expired."""

    status = 401
    code = "invalid_ticket"
    title = "Not authenticated"

    def __init__(self) -> None:
        super().__init__(
            "The ticket is unknown, was used or has expired. Get one with POST /realtime/tickets."
        )


class InvalidHandshake(ServiceError):
    """The request is no valid WebSocket handshake."""

    status = 400
    code = "invalid_handshake"
    title = "Invalid WebSocket handshake"


class UpgradeRequired(ServiceError):
    """The path is served over WebSocket only."""

    status = 426
    code = "upgrade_required"
    title = "WebSocket required"

    def __init__(self) -> None:
        super().__init__("This path is served over WebSocket, version 13, only.")

    def headers(self) -> Mapping[str, str]:
        return {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}


class TooManySockets(ServiceError):
    """The user, the tenant or the process has its maximum number of connections."""

    status = 429
    code = "too_many_sockets"
    title = "Too many open connections"

    def __init__(self) -> None:
        super().__init__("The maximum number of connections is open. Close one first.")

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "5"}


class Draining(ServiceError):
    """The process stops and accepts no connections."""

    status = 503
    code = "draining"
    title = "Service restarts"

    def __init__(self) -> None:
        super().__init__("This instance stops. Connect again.")

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "1"}


class DeliveryUnavailable(ServiceError):
    """Redis does not respond, so that topics cannot be read or published to."""

    status = 503
    code = "broker_unavailable"
    title = "Delivery unavailable"

    def __init__(self) -> None:
        super().__init__("Redis does not respond. Retry later.")

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "1"}


class PublicationTooLarge(ServiceError):
    """The data of a publication is too large."""

    status = 413
    code = "too_large"
    title = "Publication too large"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"The data must not be larger than {max_bytes} bytes of JSON.")


class ErrorCode(NamedTuple):
    """An error reply of Centrifuge's protocol."""

    code: int
    message: str
    temporary: bool = False


class ReplyError(Enum):
    """Errors in replies to commands. The numbers are those of Centrifuge's protocol."""

    INTERNAL = ErrorCode(100, "temporary", temporary=True)
    UNAUTHORIZED = ErrorCode(101, "unauthorized")
    UNKNOWN_CHANNEL = ErrorCode(102, "unknown channel")
    PERMISSION_DENIED = ErrorCode(103, "permission denied")
    METHOD_NOT_FOUND = ErrorCode(104, "method not found")
    ALREADY_SUBSCRIBED = ErrorCode(105, "already subscribed")
    LIMIT_EXCEEDED = ErrorCode(106, "limit exceeded")
    BAD_REQUEST = ErrorCode(107, "bad request")
    TOKEN_EXPIRED = ErrorCode(109, "token expired")
    TOO_MANY_REQUESTS = ErrorCode(111, "too many requests", temporary=True)


class CloseReason(Enum):
    """Codes with which the service closes a WebSocket. Clients reconnect after codes below 3500."""

    CLIENT_LEFT = (1000, "")
    RESTART = (1012, "service restart")
    UNSUPPORTED = (1003, "text messages only")
    EXPIRED = (3005, "connection expired")
    SLOW = (3008, "slow")
    NO_PONG = (3012, "no pong")
    SESSION_ENDED = (3500, "session ended")
    INVALID_TOKEN = (3500, "invalid token")
    BAD_REQUEST = (3501, "bad request")
    CONNECTION_LIMIT = (3504, "connection limit")

    @property
    def code(self) -> int:
        return self.value[0]

    @property
    def text(self) -> str:
        return self.value[1]


UNSUBSCRIBED_INSUFFICIENT = (2500, "insufficient state")
"""Code and reason of an `unsubscribe` push after publications were lost. Clients resubscribe."""
