"""Events that auth publishes. They contain no credentials and no addresses."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from backend.chassis.messaging.event_types import EventData, Id


class UserCreated(EventData):
    """An account was created."""

    event_type: ClassVar[str] = "auth.user-created"

    user_id: Id
    username: str
    tenant_id: Annotated[str, Field(description="The account's default tenant.")]


class UserChanged(EventData):
    """An account, its roles or its memberships were changed, or it was deleted."""

    event_type: ClassVar[str] = "auth.user-changed"

    user_id: Id
    fields: Annotated[
        list[str],
        Field(
            description="What was changed: `email`, `display_name`, `preferences`, `roles` "
            "or `disabled`. The values are read from auth.",
        ),
    ]
    is_deleted: bool = False


EndReason = Literal[
    "logout",
    "logout_all",
    "ended_by_owner",
    "ended_by_provider",
    "refresh_reused",
    "password_change",
    "password_reset",
    "disabled",
    "user_deleted",
    "taken_over",
]


class SessionEnded(EventData):
    """A login session was ended before its expiry. Services reject its tokens."""

    event_type: ClassVar[str] = "auth.session-ended"

    session_id: Id
    user_id: Id
    reason: EndReason


EVENTS: tuple[type[EventData], ...] = (UserCreated, UserChanged, SessionEnded)
