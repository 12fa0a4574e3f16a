"""Sessions of browsers on the gateway's own routes."""

from flask import Flask, current_app, request

from backend.security.browser_sessions import BrowserSessionPolicy, cross_site_request
from backend.security.guards import get_guard
from backend.services.gateway.domain.browser_sessions import read_browser_session


def accept_browser_sessions(app: Flask, policy: BrowserSessionPolicy) -> None:
    """Authenticate requests for the routes of *app* by session cookies as well.

    Forwarded requests are left to the data path.
    """

    @app.before_request
    def authenticate_browser() -> None:
        if request.blueprint == "forwarding" or request.endpoint is None:
            return
        headers = {name.lower(): value for name, value in request.headers.items()}
        session = read_browser_session(request.method, headers, policy)
        if session.is_cross_site:
            guard = get_guard(current_app.view_functions[request.endpoint])
            if guard is None or not guard.public:
                raise cross_site_request()
        elif session.authorization:
            request.environ["HTTP_AUTHORIZATION"] = session.authorization
