"""Sessions of browsers in cookies, which no script can read.

The gateway turns the access cookie into a bearer token. The refresh cookie is sent to `/auth` only,
and so is the cookie with the tenant that the user selected in this browser.
"""

from dataclasses import dataclass

from flask import Response, after_this_request, request
from pydantic import BaseModel, RootModel

from backend.chassis.web.app_factory import use
from backend.security.browser_sessions import (
    BrowserSessionPolicy,
    SessionKind,
    cross_site_request,
    find_access_token,
    find_refresh_token,
    is_own_request,
    session_cookie_names,
    uses_secure_cookies,
)
from backend.services.auth.errors import HttpsRequired
from backend.services.auth.routes.schemas import UserResponse
from backend.services.auth.routes.tokens import SignInResponse, TokenResponse

_REFRESH_PATH = "/auth"
TENANT_COOKIE = "aas_tenant"
"""Id of the tenant that the user selected in this browser. Absent for the default tenant."""


class BrowserSession(BaseModel):
    """The user of a new session whose tokens are in cookies, and their lifetime in seconds."""

    user: UserResponse
    expires_in: int


class RefreshedBrowserSession(BaseModel):
    """The lifetime of the new access token, which is in a cookie, in seconds."""

    expires_in: int


class NewSession(RootModel[SignInResponse | BrowserSession]):
    """Tokens in the body, or in cookies with `"session": "cookie"`."""


class RenewedSession(RootModel[TokenResponse | RefreshedBrowserSession]):
    """Tokens in the body, or in cookies if the refresh token was in a cookie."""


@dataclass(frozen=True, slots=True)
class BrowserSessions:
    """Settings of sessions in cookies: when they are allowed, and their lifetime in seconds."""

    policy: BrowserSessionPolicy
    lifetime_seconds: int


def check_session_kind(kind: SessionKind) -> None:
    """Check that the session can be returned as the client requests, before it is opened.

    Raises:
        HttpError: another site requests a session in cookies.
        HttpsRequired: the browser would not store the cookies.
    """
    if kind == "cookie":
        _ensure_own_request()
        _uses_secure_cookies()


def return_session(signed_in: SignInResponse, kind: SessionKind) -> NewSession:
    """Return the body of a sign-in, and set the cookies of the session if *kind* is `cookie`."""
    if kind == "token":
        return NewSession(signed_in)
    set_session_cookies(signed_in)
    return NewSession(BrowserSession(user=signed_in.user, expires_in=signed_in.expires_in))


def set_session_cookies(tokens: TokenResponse, tenant: str | None = None) -> None:
    """Set the cookies of a session in the response to the current request.

    Args:
        tokens: the tokens of the session.
        tenant: id of the tenant that the user selected in this browser, or None for the default
            tenant.
    """
    lifetime, secure = use(BrowserSessions).lifetime_seconds, _uses_secure_cookies()
    _set_cookies(
        (tokens.access_token, tokens.expires_in), (tokens.refresh_token, lifetime), secure=secure
    )
    if tenant is None:
        _delete_tenant_cookie(secure=secure)
    else:
        _set_tenant_cookie(tenant, lifetime, secure=secure)


def delete_session_cookies() -> None:
    """Delete the session cookies of the client of the current request, if it sent any."""
    for secure in (True, False):
        if any(name in request.cookies for name in session_cookie_names(secure=secure)):
            _set_cookies(("", 0), ("", 0), secure=secure)
            _delete_tenant_cookie(secure=secure)


def get_refresh_cookie() -> str | None:
    """Return the refresh token in the cookie of the current request, or None.

    None if the client sent other credentials: the gateway only adds those of the access cookie.

    Raises:
        HttpError: another site sent the request.
    """
    policy = use(BrowserSessions).policy
    cookies = request.headers.get("Cookie", "")
    token = find_refresh_token(cookies, policy)
    if token is None:
        return None
    authorization = request.headers.get("Authorization")
    if authorization and authorization != f"Bearer {find_access_token(cookies, policy)}":
        return None
    _ensure_own_request()
    return token


def _ensure_own_request() -> None:
    headers = {name.lower(): value for name, value in request.headers.items()}
    if not is_own_request(request.method, headers, use(BrowserSessions).policy):
        raise cross_site_request()


def _uses_secure_cookies() -> bool:
    # The gateway sets both headers. A client without the gateway only affects its own cookies.
    secure = uses_secure_cookies(
        request.headers.get("X-Forwarded-Proto", request.scheme),
        request.headers.get("X-Forwarded-Host", request.host),
        use(BrowserSessions).policy,
    )
    if secure is None:
        raise HttpsRequired
    return secure


def _set_cookies(access: tuple[str, int], refresh: tuple[str, int], *, secure: bool) -> None:
    access_name, refresh_name = session_cookie_names(secure=secure)
    _set_cookie(access_name, *access, path="/", secure=secure)
    _set_cookie(refresh_name, *refresh, path=_REFRESH_PATH, secure=secure)


def _set_tenant_cookie(tenant: str, seconds: int, *, secure: bool) -> None:
    # It is not a credential and needs no prefix: auth checks the memberships of the account.
    _set_cookie(TENANT_COOKIE, tenant, seconds, path=_REFRESH_PATH, secure=secure)


def _delete_tenant_cookie(*, secure: bool) -> None:
    if TENANT_COOKIE in request.cookies:
        _set_tenant_cookie("", 0, secure=secure)


def _set_cookie(name: str, value: str, seconds: int, *, path: str, secure: bool) -> None:
    @after_this_request
    def set_cookie(response: Response) -> Response:
        response.set_cookie(
            name,
            value,
            max_age=seconds,
            path=path,
            secure=secure,
            httponly=True,
            samesite="Lax",
        )
        return response
