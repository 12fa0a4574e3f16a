"""Sessions of browsers in cookies: the names of the cookies, and protection against other sites.

A browser sends cookies with requests that any page makes. A session cookie is therefore used only
for requests of our own pages. The browser reports their origin: in `Sec-Fetch-Site` (W3C Fetch
Metadata), or, where it does not send that, in `Origin`. Requests that may change something also
need a header that forms cannot send, and that pages of other origins cannot add without a CORS
preflight, which is refused. `SameSite=Lax` is a second line of defence: it does not protect from
another port or a sibling domain.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal

from backend.security.http_errors import HttpError

SessionKind = Literal["token", "cookie"]
"""How a sign-in returns its session: as tokens in the body, or in cookies."""

REQUESTED_WITH = "console"
"""Value of `X-Requested-With` in requests of the console."""

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITES = frozenset({"same-origin", "none"})
# Browsers accept a cookie with this prefix only over TLS, for this host and for all paths.
_ACCESS_COOKIE = "__Host-aas_access"
# `__Host-` requires the path `/`, but this cookie is only for the routes below `/auth`.
_REFRESH_COOKIE = "__Secure-aas_refresh"
_HTTP_ACCESS_COOKIE = "aas_access"
_HTTP_REFRESH_COOKIE = "aas_refresh"
_COOKIE_NAMES = frozenset(
    {_ACCESS_COOKIE, _REFRESH_COOKIE, _HTTP_ACCESS_COOKIE, _HTTP_REFRESH_COOKIE}
)


@dataclass(frozen=True, slots=True)
class BrowserSessionPolicy:
    """The settings that decide whether a session cookie is used.

    Attributes:
        origin: scheme, host and port of the gateway as browsers see them, without a slash.
        allows_http: True if sessions over plain HTTP are allowed for any host, in cookies without
            prefixes. For development only.
    """

    origin: str
    allows_http: bool = False

    @property
    def access_cookies(self) -> tuple[str, ...]:
        return (_ACCESS_COOKIE, _HTTP_ACCESS_COOKIE) if self.allows_http else (_ACCESS_COOKIE,)

    @property
    def refresh_cookies(self) -> tuple[str, ...]:
        return (_REFRESH_COOKIE, _HTTP_REFRESH_COOKIE) if self.allows_http else (_REFRESH_COOKIE,)


def cross_site_request() -> HttpError:
    return HttpError(
        403,
        "cross_site_request",
        "Request from another site",
        "A session cookie is accepted only from pages of this origin. Requests other than GET need "
        f"the header 'X-Requested-With: {REQUESTED_WITH}'.",
    )


def is_own_request(method: str, headers: Mapping[str, str], policy: BrowserSessionPolicy) -> bool:
    """Return True if a page of this origin, or the user, sent a request.

    Args:
        method: method of the request.
        headers: its headers by lower-case name.
        policy: the configured origin.
    """
    is_safe = method in _SAFE_METHODS
    if not is_safe and headers.get("x-requested-with") != REQUESTED_WITH:
        return False
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site in _OWN_SITES
    if origin is not None:
        return origin == policy.origin
    # Over plain HTTP, browsers send Sec-Fetch-Site only to loopback addresses, and no Origin with
    # a GET request of the same origin.
    return is_safe and policy.allows_http


def find_access_token(cookie_header: str, policy: BrowserSessionPolicy) -> str | None:
    """Return the access token in the Cookie header, or None."""
    return _find_cookie(cookie_header, policy.access_cookies)


def find_refresh_token(cookie_header: str, policy: BrowserSessionPolicy) -> str | None:
    """Return the refresh token in the Cookie header, or None."""
    return _find_cookie(cookie_header, policy.refresh_cookies)


def remove_session_cookies(cookie_header: str) -> str:
    """Return the Cookie header without the cookies of browser sessions."""
    return "; ".join(
        f"{name}={value}" for name, value in _parse(cookie_header) if name not in _COOKIE_NAMES
    )


def uses_secure_cookies(scheme: str, host: str, policy: BrowserSessionPolicy) -> bool | None:
    """Return whether a browser that connects to *host* stores Secure cookies.

    Browsers accept them over TLS, and over plain HTTP from localhost and loopback addresses.

    Returns:
        False if the session may be in cookies without prefixes, None if it cannot be in cookies.
    """
    if scheme == "https" or is_loopback(host):
        return True
    return False if policy.allows_http else None


def is_loopback(host: str) -> bool:
    """Return True if *host*, with or without a port, is localhost or a loopback address."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    name = name.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def session_cookie_names(*, secure: bool) -> tuple[str, str]:
    """Return the names of the access and the refresh cookie."""
    if secure:
        return _ACCESS_COOKIE, _REFRESH_COOKIE
    return _HTTP_ACCESS_COOKIE, _HTTP_REFRESH_COOKIE


def _find_cookie(cookie_header: str, names: tuple[str, ...]) -> str | None:
    cookies = list(_parse(cookie_header))
    for wanted in names:
        values = [value for name, value in cookies if name == wanted and value]
        # Two values: one may come from another path or domain. Neither is trusted.
        if values:
            return values[0] if len(values) == 1 else None
    return None


def _parse(cookie_header: str) -> Iterator[tuple[str, str]]:
    for pair in cookie_header.split(";"):
        name, separator, value = pair.strip().partition("=")
        if separator:
            yield name.strip(), value.strip()
