"""Webhooks of Clerk: what ends there also ends here."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from backend.chassis.database.sessions import Database
from backend.chassis.settings import Secret
from backend.security.standard_webhooks import verify_webhook
from backend.services.auth.clients.clerk.tokens import ClerkId, is_admin_role
from backend.services.auth.domain.audit import RequestOrigin
from backend.services.auth.domain.credentials.clerk_organizations import (
    ClerkOrganizations,
    MembershipStatement,
)
from backend.services.auth.domain.credentials.clerk_sessions import ClerkSessionService
from backend.services.auth.errors import InvalidWebhookSignature, ResourceNotFound

_ENDED_SESSIONS: Final = frozenset({"session.ended", "session.removed", "session.revoked"})
_REMOVED: Final = "organizationMembership.deleted"
_CHANGED_MEMBERSHIPS: Final = frozenset({_REMOVED, "organizationMembership.updated"})
# Svix sends its own names; endpoints that follow the specification send the others.
_HEADER_PREFIXES: Final = ("svix", "webhook")
_MAX_MILLISECONDS: Final = 253_402_300_799_000
_log = logging.getLogger(__name__)


class _Input(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Event(_Input):
    """An event. *timestamp* is its time in milliseconds since the epoch."""

    type: Annotated[str, Field(max_length=100)]
    data: dict[str, JsonValue]
    timestamp: Annotated[int, Field(ge=0, le=_MAX_MILLISECONDS)] | None = None


class _DeletedUser(_Input):
    id: ClerkId


class _EndedSession(_Input):
    id: ClerkId
    user_id: ClerkId


class _Organization(_Input):
    id: ClerkId


class _PublicUserData(_Input):
    user_id: ClerkId


class _Membership(_Input):
    organization: _Organization
    public_user_data: _PublicUserData
    role: Annotated[str, Field(max_length=255)] | None = None


@dataclass(frozen=True, slots=True)
class _ChangedMembership:
    event: _Event
    membership: _Membership

    def to_statement(self, now: datetime) -> MembershipStatement:
        """Return the state of the membership after the event, which was received at *now*."""
        stated_at = now
        if self.event.timestamp is not None:
            # A time in the future would make later statements ineffective.
            stated_at = min(now, datetime.fromtimestamp(self.event.timestamp / 1000, UTC))
        return MembershipStatement(
            self.membership.organization.id,
            self.membership.public_user_data.user_id,
            None if self.event.type == _REMOVED else is_admin_role(self.membership.role),
            stated_at,
        )


class ClerkWebhookService:
    """Verifies and applies webhooks.

    Args:
        secret: secret of the endpoint; None refuses all webhooks.
    """

    def __init__(
        self,
        database: Database,
        secret: Secret | None,
        sessions: ClerkSessionService,
        organizations: ClerkOrganizations,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._secret = secret
        self._sessions = sessions
        self._organizations = organizations
        self._now = now

    def receive_webhook(
        self, headers: Mapping[str, str], body: bytes, origin: RequestOrigin
    ) -> None:
        """Apply the webhook *body*. Events of other types, or of another form, are ignored.

        Each can be applied repeatedly, and in any order.

        Raises:
            ResourceNotFound: no secret is configured.
            InvalidWebhookSignature: it was not signed with the secret in the last five minutes.
        """
        if self._secret is None:
            raise ResourceNotFound
        now = self._now()
        if not any(
            verify_webhook(
                [self._secret.reveal()],
                headers.get(f"{prefix}-id"),
                headers.get(f"{prefix}-timestamp"),
                headers.get(f"{prefix}-signature"),
                body,
                now.timestamp(),
            )
            for prefix in _HEADER_PREFIXES
        ):
            raise InvalidWebhookSignature
        event = _parse_event(body)
        if isinstance(event, _DeletedUser):
            self._sessions.disable_user(event.id, origin)
        elif isinstance(event, _EndedSession):
            self._sessions.end_session(event.id, event.user_id, origin)
        elif isinstance(event, _ChangedMembership):
            with self._database.write() as session:
                self._organizations.apply_event(session, event.to_statement(now), origin, now)


def _parse_event(body: bytes) -> _DeletedUser | _EndedSession | _ChangedMembership | None:
    """Return the event in the body of a webhook, or None if it is not used."""
    try:
        event = _Event.model_validate_json(body)
        if event.type == "user.deleted":
            return _DeletedUser.model_validate(event.data)
        if event.type in _ENDED_SESSIONS:
            return _EndedSession.model_validate(event.data)
        if event.type in _CHANGED_MEMBERSHIPS:
            membership = _Membership.model_validate(event.data)
            return _ChangedMembership(event, membership)
    except ValidationError:
        # Clerk would repeat it for days, always in the same form.
        _log.warning("a webhook of Clerk has an unknown form and is ignored")
    return None
