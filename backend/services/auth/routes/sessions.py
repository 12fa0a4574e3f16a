"""Sign in, go on, sign out."""

import hashlib
import math
import time
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from flask import Blueprint, Response, g, request
from flask_limiter import Limiter, RateLimitExceeded
from pydantic import BaseModel, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import answers
from backend.chassis.web.paging import PageQuery, cut_page
from backend.security import (
    Input,
    authenticated,
    current_principal,
    invalid_field,
    public,
    validate_input,
    validate_query,
)
from backend.security.http_errors import problem
from backend.services.auth.domain.sessions import Sessions
from backend.services.auth.errors import (
    AccountDisabled,
    InvalidCredentials,
    InvalidRefreshToken,
    InvalidTotp,
    NoSuchThing,
    RefreshReused,
    SessionEnded,
    SessionRequired,
    TooBusy,
    TooManyAttempts,
    TotpRequired,
)
from backend.services.auth.routes.callers import signed_in_caller
from backend.services.auth.routes.origin import origin
from backend.services.auth.routes.shapes import Code, Password
from backend.services.auth.routes.tokens import (
    SignedInUser,
    Tokens,
    signed_in_user,
    tokens_of,
)

_MAX_NAME = 254
_MAX_REFRESH_TOKEN = 128


class Credentials(Input):
    """The user name, or the e-mail address in its place, and the password."""

    username: Annotated[str, Field(min_length=1, max_length=_MAX_NAME, examples=["testuser"])]
    password: Annotated[Password, Field(examples=["testpass123"])]
    totp: Code | None = None


class SeenSession(BaseModel):
    """Where the user is signed in; `current` marks the session that asks."""

    id: str
    current: bool
    method: str
    address: str
    user_agent: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime


class SessionPage(BaseModel):
    items: list[SeenSession]
    next_cursor: str | None


class Refresh(Input):
    """The refresh token; it may also come as `Authorization: Bearer`."""

    refresh_token: Annotated[str, Field(min_length=1, max_length=_MAX_REFRESH_TOKEN)]


def session_routes(failures: Limiter, allowed_failures: str) -> Blueprint:
    """The routes, which count failed sign-ins with *failures*."""
    sessions = Blueprint("sessions", __name__)

    @failures.limit(
        allowed_failures,
        key_func=lambda: str(g.attempt),
        deduct_when=_is_failure,
    )
    def sign_in(given: Credentials) -> SignedInUser:
        return signed_in_user(
            use(Sessions).sign_in(given.username, given.password, given.totp, origin())
        )

    @sessions.post("/login")
    @public
    @validate_input(Credentials)
    @answers(
        SignedInUser,
        errors=(
            InvalidCredentials,
            TotpRequired,
            InvalidTotp,
            AccountDisabled,
            TooManyAttempts,
            TooBusy,
        ),
    )
    def login(given: Credentials) -> SignedInUser:
        """Sign in with a user name, or an e-mail address, and a password."""
        # Hashed: it gets into logs, and people type passwords where the name belongs.
        attempt = f"{use(Sessions).counted_as(given.username)} {origin().address}"
        g.attempt = hashlib.sha256(attempt.encode()).hexdigest()
        return sign_in(given)

    @sessions.post("/refresh")
    @public
    @validate_input(Refresh, optional=True)
    @answers(Tokens, errors=(InvalidRefreshToken, RefreshReused, SessionEnded))
    def refresh(given: Refresh | None) -> Tokens:
        """Spend a refresh token for a new pair of tokens."""
        token = given.refresh_token if given else _bearer()
        return tokens_of(use(Sessions).refresh(token, origin()))

    @sessions.post("/logout")
    @authenticated
    @answers(status=204, errors=(SessionEnded, SessionRequired))
    def logout() -> None:
        """End the session of the token that is shown."""
        caller = signed_in_caller()
        use(Sessions).sign_out(caller.user_id, caller.session_id, origin())

    @sessions.post("/logout/all")
    @authenticated
    @answers(status=204)
    def logout_everywhere() -> None:
        """End all sessions of the caller."""
        use(Sessions).sign_out_everywhere(current_principal().user_id, origin())

    @sessions.get("/me/sessions")
    @authenticated
    @validate_query(PageQuery)
    @answers(SessionPage)
    def list_own(page: PageQuery) -> SessionPage:
        """Where the caller is signed in, the newest first."""
        caller = current_principal()
        found = use(Sessions).open_of(caller.user_id, page.after_moment(), page.limit + 1)
        items, cursor = cut_page(
            found, page.limit, lambda each: (each.created_at.isoformat(), each.id)
        )
        return SessionPage(
            items=[
                SeenSession(current=each.id == caller.session_id, **asdict(each)) for each in items
            ],
            next_cursor=cursor,
        )

    @sessions.delete("/me/sessions/<session_id>")
    @authenticated
    @answers(status=204, errors=(NoSuchThing,))
    def end(session_id: str) -> None:
        """End one session of the caller; its tokens stop working everywhere."""
        use(Sessions).end(current_principal().user_id, session_id, origin())

    @sessions.errorhandler(RateLimitExceeded)
    def too_many(_: RateLimitExceeded) -> Response:
        return too_many_attempts(failures)

    @sessions.after_request
    def keep_nothing(response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
        return response

    return sessions


def _is_failure(response: Response) -> bool:
    """Whether somebody guessed; who is asked for the second factor has not."""
    return (
        response.status_code == InvalidCredentials.status
        and response.get_json()["code"] != TotpRequired.code
    )


def too_many_attempts(failures: Limiter) -> Response:
    """The answer to somebody whom *failures* stopped."""
    breached = failures.current_limit
    wait = max(1, math.ceil(breached.reset_at - time.time())) if breached else 1
    error = TooManyAttempts(wait)
    return problem(error.status, error.code, error.title, str(error), headers=error.headers())


def _bearer() -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise invalid_field("#/refresh_token", "Send the refresh token.")
    return token
