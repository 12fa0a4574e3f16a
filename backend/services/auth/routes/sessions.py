"""Routes for sign-in, token refresh, sign-out and the caller's sessions."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Self

from flask import Blueprint, Response, g, request
from flask_limiter import RateLimitExceeded
from pydantic import BaseModel, ConfigDict, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import request_example, responds_with
from backend.chassis.web.paging import PageQuery, paginate
from backend.security import (
    Input,
    authenticated,
    current_principal,
    invalid_field,
    public,
    validate_input,
    validate_query,
)
from backend.security.authentication import authenticate
from backend.security.browser_sessions import SessionKind
from backend.services.auth.domain.sessions import SessionService
from backend.services.auth.errors import (
    AccountDisabled,
    HttpsRequired,
    InvalidCredentials,
    InvalidRefreshToken,
    InvalidTotp,
    RefreshReused,
    ResourceNotFound,
    SessionEnded,
    SessionRequired,
    TooBusy,
    TooManyAttempts,
    TotpRequired,
)
from backend.services.auth.routes.browser_cookies import (
    TENANT_COOKIE,
    NewSession,
    RefreshedBrowserSession,
    RenewedSession,
    check_session_kind,
    delete_session_cookies,
    get_refresh_cookie,
    return_session,
    set_session_cookies,
)
from backend.services.auth.routes.known_device_cookie import get_device_token, remember_device
from backend.services.auth.routes.network_limit import (
    NetworkLimiter,
    get_network_limit_response,
)
from backend.services.auth.routes.request_origin import get_request_origin
from backend.services.auth.routes.schemas import Password, TotpCode
from backend.services.auth.routes.sensitive_operations import sensitive
from backend.services.auth.routes.tokens import to_sign_in_response, to_token_response

_MAX_NAME_CHARACTERS = 254
_MAX_REFRESH_TOKEN_CHARACTERS = 128


class LoginRequest(Input):
    """Username or e-mail address, password, and second-factor code if required."""

    username: Annotated[
        str, Field(min_length=1, max_length=_MAX_NAME_CHARACTERS, examples=["testuser"])
    ]
    password: Annotated[Password, Field(examples=["testpass123"])]
    totp: TotpCode | None = None
    session: SessionKind = "token"


class SessionResponse(BaseModel):
    """A session of the user. `current` marks the session of the request."""

    id: str
    current: bool
    method: str
    address: str
    user_agent: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime


class SessionPage(BaseModel):
    items: list[SessionResponse]
    next_cursor: str | None


class RefreshRequest(Input):
    """The refresh token. It may also be sent as `Authorization: Bearer`."""

    refresh_token: Annotated[str, Field(min_length=1, max_length=_MAX_REFRESH_TOKEN_CHARACTERS)]


class Reauthentication(Input):
    """The password, or a TOTP or recovery code, or both."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"properties": {name: {"type": "string"}}, "required": [name]}
                for name in ("password", "totp")
            ]
        }
    )

    password: Annotated[Password, Field(examples=["testpass123"])] | None = None
    totp: TotpCode | None = None


sessions = Blueprint("sessions", __name__)


@dataclass(frozen=True, slots=True)
class LimitedSignIn:
    """`SessionService.sign_in` with a limit of the failed attempts from one network."""

    sign_in: Callable[[LoginRequest], NewSession]

    @classmethod
    def create(cls, limiter: NetworkLimiter) -> Self:
        return cls(limiter.limit(sign_in, _is_failure, lambda: bool(g.is_known_device)))


def sign_in(body: LoginRequest) -> NewSession:
    check_session_kind(body.session)
    signed_in = use(SessionService).sign_in(
        body.username, body.password, body.totp, get_request_origin(), get_device_token()
    )
    remember_device(signed_in.account.id)
    return return_session(to_sign_in_response(signed_in), body.session)


@sessions.post("/login")
@public
@validate_input(LoginRequest)
@responds_with(
    NewSession,
    errors=(
        HttpsRequired,
        InvalidCredentials,
        TotpRequired,
        InvalidTotp,
        AccountDisabled,
        TooManyAttempts,
        TooBusy,
    ),
)
@request_example({"username": "testuser", "password": "testpass123"})
def login(body: LoginRequest) -> NewSession:
    """Sign in with a username or e-mail address and a password.

    With `"session": "cookie"` the tokens are in cookies that no script can read, and the gateway
    accepts requests of the same origin without other credentials. Requests that change something
    then need the header `X-Requested-With: console`.

    The response sets a cookie that marks the device as known: failed sign-ins from other devices
    do not delay it.
    """
    g.is_known_device = use(SessionService).is_known_device(body.username, get_device_token())
    return use(LimitedSignIn).sign_in(body)


@sessions.post("/reauthenticate")
@authenticated
@validate_input(Reauthentication)
@sensitive
@responds_with(
    status=204,
    errors=(InvalidCredentials, InvalidTotp, SessionEnded, TooManyAttempts, TooBusy),
)
@request_example({"password": "testpass123"})
def reauthenticate(body: Reauthentication) -> None:
    """Check the password or a code again, as a proof for the sensitive requests of 5 minutes.

    Registration and sign-in are proofs as well.
    """
    if body.password is None and body.totp is None:
        raise invalid_field("#/password", "Send the password or a code.")
    caller = current_principal()
    use(SessionService).reauthenticate(
        caller.user_id, caller.session_id, body.password, body.totp, get_request_origin()
    )


@sessions.post("/refresh")
@public
@validate_input(RefreshRequest, optional=True)
@responds_with(RenewedSession, errors=(InvalidRefreshToken, RefreshReused, SessionEnded))
@request_example({"refresh_token": "rt_9f86d081884c7d659a2feaa0c55ad015"})
def refresh(body: RefreshRequest | None) -> RenewedSession:
    """Exchange a refresh token for a new access token and refresh token.

    Without a token in the request, the session cookies of a browser are renewed. `X-Tenant-ID` then
    selects the tenant of this and all later access tokens of the browser.
    """
    if body is None and (cookie := get_refresh_cookie()):
        return RenewedSession(_refresh_cookies(cookie))
    token = body.refresh_token if body else _get_bearer_token()
    return RenewedSession(
        to_token_response(use(SessionService).refresh_session(token, get_request_origin()))
    )


def _refresh_cookies(token: str) -> RefreshedBrowserSession:
    try:
        refreshed = use(SessionService).refresh_session(token, get_request_origin())
    except (InvalidRefreshToken, RefreshReused, SessionEnded):
        delete_session_cookies()
        raise
    home = refreshed.account.default_membership
    # A tenant that the user has left is no longer selected.
    selected = refreshed.account.find_membership(
        request.headers.get("X-Tenant-ID") or request.cookies.get(TENANT_COOKIE)
    )
    tokens = to_token_response(refreshed, selected)
    kept = None if selected is None or selected.tenant_id == home.tenant_id else selected.tenant_id
    set_session_cookies(tokens, kept)
    return RefreshedBrowserSession(expires_in=tokens.expires_in)


@sessions.post("/logout")
@public
@responds_with(status=204, errors=(SessionEnded, SessionRequired))
def logout() -> None:
    """End the session of the access token, or of the refresh cookie of a browser.

    A browser deletes the access cookie when its token expires, and can sign out after that. The
    response deletes both cookies, also if the session has ended already.
    """
    if cookie := get_refresh_cookie():
        use(SessionService).sign_out_browser(cookie, get_request_origin())
    else:
        _sign_out_caller()
    delete_session_cookies()


def _sign_out_caller() -> None:
    caller = authenticate()
    if caller.uses_api_key:
        raise SessionRequired
    use(SessionService).sign_out(caller.user_id, caller.session_id, get_request_origin())


@sessions.post("/logout/all")
@authenticated
@sensitive
@responds_with(status=204)
def logout_all() -> None:
    """End all sessions of the caller."""
    use(SessionService).sign_out_everywhere(current_principal().user_id, get_request_origin())
    delete_session_cookies()


@sessions.get("/me/sessions")
@authenticated
@validate_query(PageQuery)
@responds_with(SessionPage)
def list_sessions(page: PageQuery) -> SessionPage:
    """List the caller's sessions, newest first."""
    caller = current_principal()
    results = use(SessionService).list_active_sessions(
        caller.user_id, page.decode_time_cursor(), page.limit + 1
    )
    items, cursor = paginate(
        results, page.limit, lambda item: (item.created_at.isoformat(), item.id)
    )
    return SessionPage(
        items=[
            SessionResponse(current=item.id == caller.session_id, **asdict(item)) for item in items
        ],
        next_cursor=cursor,
    )


@sessions.delete("/me/sessions/<session_id>")
@authenticated
@sensitive
@responds_with(status=204, errors=(ResourceNotFound,))
def end_session(session_id: str) -> None:
    """End one session of the caller and revoke its tokens on every service."""
    use(SessionService).end_session(current_principal().user_id, session_id, get_request_origin())


@sessions.errorhandler(RateLimitExceeded)
def handle_rate_limit(_: RateLimitExceeded) -> Response:
    return get_network_limit_response()


@sessions.after_request
def disable_caching(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


def _is_failure(response: Response) -> bool:
    """Return True for a wrong password or code, but not for a missing second factor."""
    return (
        response.status_code == InvalidCredentials.status
        and response.get_json()["code"] != TotpRequired.code
    )


def _get_bearer_token() -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise invalid_field(
            "#/refresh_token", "Send the refresh token in the body or as a bearer token."
        )
    return token
