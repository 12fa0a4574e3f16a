"""Routes for users who are signed in at Clerk: the exchange of session tokens, and webhooks."""

from dataclasses import dataclass
from typing import Annotated

from flask import Blueprint, Response, request
from pydantic import BaseModel, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import request_example, responds_with
from backend.security import HttpError, Input, internal_only, public, validate_input
from backend.services.auth.domain.credentials.clerk_sessions import ClerkSessionService
from backend.services.auth.domain.credentials.clerk_webhooks import ClerkWebhookService
from backend.services.auth.errors import (
    AccountDisabled,
    InvalidClerkToken,
    InvalidWebhookSignature,
    ProviderUnavailable,
    ResourceNotFound,
    SessionEnded,
)
from backend.services.auth.routes.request_origin import get_request_origin
from backend.services.auth.routes.tokens import create_user_access_token

clerk = Blueprint("clerk", __name__)
_MAX_WEBHOOK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class ClerkServices:
    """The services for Clerk. Both are None if no application is configured."""

    sessions: ClerkSessionService | None
    webhooks: ClerkWebhookService | None


class ClerkTokenExchange(Input):
    """A session token that Clerk has issued to a caller of the gateway."""

    token: Annotated[str, Field(min_length=1, max_length=16_384)]


class ClerkTokenResponse(BaseModel):
    """An access token, and the seconds until the session token expires.

    The access token is only for requests that are received within these seconds. It is valid a
    little longer, so that they can be completed.
    """

    access_token: str
    token_type: str = "Bearer"  # noqa: S105 - the scheme's name
    expires_in: int


@clerk.post("/internal/clerk/exchange")
@internal_only
@validate_input(ClerkTokenExchange)
@responds_with(
    ClerkTokenResponse,
    errors=(
        ResourceNotFound,
        InvalidClerkToken,
        SessionEnded,
        AccountDisabled,
        ProviderUnavailable,
    ),
)
@request_example({"token": "eyJhbGciOiJSUzI1NiIsImtpZCI6Imluc18xIn0.e30.c2lnbmF0dXJl"})
def exchange_session_token(body: ClerkTokenExchange) -> ClerkTokenResponse:
    """Exchange a session token of Clerk for an access token. The gateway calls it.

    The user's first token creates an account, and an organization's first token its tenant.
    """
    sessions = use(ClerkServices).sessions
    if sessions is None:
        raise ResourceNotFound
    exchange = sessions.exchange_token(body.token, get_request_origin())
    return ClerkTokenResponse(
        access_token=create_user_access_token(exchange.account, exchange.session_id),
        expires_in=int(exchange.expires_in.total_seconds()),
    )


@clerk.post("/clerk/webhook")
@public
@responds_with(status=204, errors=(ResourceNotFound, InvalidWebhookSignature))
def receive_webhook() -> None:
    """Process a webhook of Clerk: sessions, users and memberships that have ended there.

    Clerk signs it with CLERK_WEBHOOK_SECRET. Other events are ignored.
    """
    webhooks = use(ClerkServices).webhooks
    if webhooks is None:
        raise ResourceNotFound
    request.max_content_length = _MAX_WEBHOOK_BYTES + 1
    body = request.stream.read(_MAX_WEBHOOK_BYTES + 1)
    if len(body) > _MAX_WEBHOOK_BYTES:
        raise HttpError(
            413,
            "too_large",
            "Body too large",
            f"The body may have at most {_MAX_WEBHOOK_BYTES} bytes.",
        )
    webhooks.receive_webhook(request.headers, body, get_request_origin())


@clerk.after_request
def disable_caching(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response
