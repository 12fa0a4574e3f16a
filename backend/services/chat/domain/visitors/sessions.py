"""Sessions of visitors: which sites may open them, and who a token stands for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from backend.chassis.database.sessions import Database
from backend.services.chat.domain.access import Caller
from backend.services.chat.domain.visitors.origins import get_origins, normalize_origin
from backend.services.chat.domain.visitors.tokens import (
    TOKEN_LIFETIME,
    VisitorClaims,
    VisitorTokens,
)
from backend.services.chat.errors import (
    AccountStopped,
    OriginNotAllowed,
    OtherOrigin,
    VisitorTokenRejected,
)
from backend.services.chat.model import contact_actor
from backend.services.chat.store import accounts as store
from backend.services.chat.store.base import new_id
from backend.services.chat.store.tables import Conversation

IDENTITY_SCHEME: Final = "visitor"
"""Scheme of the identity that a visitor's contact has at the account."""
SANDBOX_ORIGIN: Final = "null"
"""Origin of a frame in a sandbox without `allow-same-origin`."""


@dataclass(frozen=True, slots=True)
class WebAccount:
    """An account of the channel `web` as visitors may know it. `origins` are the valid ones."""

    id: str
    tenant_id: str
    is_active: bool
    settings: Mapping[str, Any]
    origins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RequestOrigin:
    """The Origin header of a request.

    Attributes:
        value: "" without the header.
        own: origin of the URL of the request.
    """

    value: str
    own: str


@dataclass(frozen=True, slots=True)
class Visitor(Caller):
    """A visitor of a web page as the caller, without any permission.

    Attributes:
        contact_id: None until the first message.
    """

    account: WebAccount | None = None
    visitor_id: str = ""
    contact_id: str | None = None

    @property
    def actor(self) -> str:
        return contact_actor(self.contact_id or "")

    @property
    def account_id(self) -> str:
        return "" if self.account is None else self.account.id

    @property
    def conversation_key(self) -> str:
        """Key of the visitor's conversation, of which each has one."""
        return f"{IDENTITY_SCHEME}:{self.visitor_id}"

    def owns(self, conversation: Conversation) -> bool:
        return (
            conversation.account_id == self.account_id and conversation.key == self.conversation_key
        )


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A token of a visitor. `is_new` is False if the one of the request stays valid."""

    token: str
    expires_at: datetime
    is_new: bool


class VisitorSessions:
    """Opens and verifies sessions. Nothing is stored before the first message.

    Args:
        database: sees the rows of all tenants.
        public_url: address of the suite.
    """

    def __init__(
        self,
        database: Database,
        tokens: VisitorTokens,
        public_url: str,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._tokens = tokens
        self._public_origin = normalize_origin(public_url)
        self._now = now

    def find_account(self, account_id: str) -> WebAccount | None:
        """Return the account of web chat of any tenant, or None."""
        with self._database.read() as session:
            account = store.get_account(session, account_id)
            if account is None or account.channel != "web":
                return None
            return WebAccount(
                account.id,
                account.tenant_id,
                account.state == "active",
                account.settings,
                get_origins(account.settings),
            )

    def issue_ticket(self, account: WebAccount) -> str:
        """Return a ticket for the frame page of *account*."""
        return self._tokens.issue_ticket(account.id)

    def open_session(
        self, account: WebAccount, origin: RequestOrigin, ticket: str | None, token: str | None
    ) -> OpenedSession:
        """Open a session, or renew the one of *token*.

        Args:
            ticket: of the frame page. Requests of pages of a listed site need none.
            token: of an earlier session, whose contact and conversation are kept.

        Raises:
            AccountStopped: an administrator has stopped the chat.
            OriginNotAllowed: the page of the request may not open a session.
            VisitorTokenRejected, OtherOrigin: *token* is not valid here.
        """
        if not account.is_active:
            raise AccountStopped
        site = self._find_site(account, origin, ticket)
        if token is None:
            visitor_id = new_id("vis")
        else:
            claims = self._tokens.verify_token(token, account.id)
            if claims.origin != site:
                raise OtherOrigin(claims.origin, origin.value)
            if claims.expires_at - self._now() > TOKEN_LIFETIME / 2:
                return OpenedSession(token, claims.expires_at, is_new=False)
            visitor_id = claims.visitor_id
        new_token, expires_at = self._tokens.issue_token(account.id, visitor_id, site)
        return OpenedSession(new_token, expires_at, is_new=True)

    def authenticate(
        self, account: WebAccount, origin: RequestOrigin, token: str | None
    ) -> Visitor:
        """Return the visitor of *token*.

        Raises:
            AccountStopped: an administrator has stopped the chat.
            VisitorTokenRejected: the token is missing, forged, expired, or of another account.
            OriginNotAllowed, OtherOrigin: the page of the request may not use the session.
        """
        if token is None:
            raise VisitorTokenRejected
        claims = self._tokens.verify_token(token, account.id)
        self._ensure_origin(account, claims, origin)
        if not account.is_active:
            raise AccountStopped
        with self._database.read() as session:
            contact = store.find_contact_by_identity(
                session, account.tenant_id, account.id, IDENTITY_SCHEME, claims.visitor_id
            )
            contact_id = None if contact is None else contact.id
        return Visitor(
            user_id="",
            tenant_id=account.tenant_id,
            session_id="",
            permissions=frozenset(),
            account=account,
            visitor_id=claims.visitor_id,
            contact_id=contact_id,
        )

    def _find_site(self, account: WebAccount, origin: RequestOrigin, ticket: str | None) -> str:
        """Return the origin that opens a session, or "" for the frame page."""
        if origin.value in account.origins:
            return origin.value
        has_ticket = ticket is not None and self._tokens.is_ticket_valid(ticket, account.id)
        if self._can_be_frame(origin) and has_ticket:
            return ""
        raise OriginNotAllowed(origin.value)

    def _ensure_origin(
        self, account: WebAccount, claims: VisitorClaims, origin: RequestOrigin
    ) -> None:
        """Raise an error unless *origin* is that of the session.

        A request without the header passes: browsers send it with each request to another origin.
        """
        if claims.origin and claims.origin not in account.origins:
            raise OriginNotAllowed(claims.origin)
        is_same = origin.value == claims.origin if claims.origin else self._can_be_frame(origin)
        if origin.value and not is_same:
            raise OtherOrigin(claims.origin, origin.value)

    def _can_be_frame(self, origin: RequestOrigin) -> bool:
        """Return whether a request of the frame page can have *origin*.

        It is that of the suite, or `null` if the site shows the frame in a sandbox.
        """
        return origin.value in {origin.own, self._public_origin, SANDBOX_ORIGIN}
