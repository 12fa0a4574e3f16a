"""Sessions of browsers: the access token in a cookie becomes the bearer token of the request.

`read_browser_session` is used by both data paths and for the gateway's own routes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from backend.security.browser_sessions import (
    BrowserSessionPolicy,
    find_access_token,
    is_own_request,
    remove_session_cookies,
)

COOKIE_SERVICE = "auth"
"""The only service that receives the cookies of browser sessions."""


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """The session of a request that has a Cookie header.

    Attributes:
        authorization: value of the Authorization header that the cookie stands for, or "".
        is_cross_site: True if the request has a session cookie, but no page of ours sent it.
    """

    authorization: str = ""
    is_cross_site: bool = False


NO_SESSION = BrowserSession()
_CROSS_SITE = BrowserSession(is_cross_site=True)


def read_browser_session(
    method: str, headers: Mapping[str, str], policy: BrowserSessionPolicy
) -> BrowserSession:
    """Return the session of a request. Credentials in headers take precedence over cookies.

    Args:
        method: method of the request.
        headers: its headers by lower-case name.
        policy: the configured origin.
    """
    if "cookie" not in headers or headers.get("authorization") or headers.get("x-api-key"):
        return NO_SESSION
    token = find_access_token(headers["cookie"], policy)
    if token is None:
        return NO_SESSION
    if not is_own_request(method, headers, policy):
        return _CROSS_SITE
    return BrowserSession(f"Bearer {token}")


def forwarded_cookies(service: str, cookie_header: str) -> str:
    """Return the Cookie header for *service*, or "" for none."""
    return cookie_header if service == COOKIE_SERVICE else remove_session_cookies(cookie_header)
