"""Tokens of an identity provider on the gateway's own routes."""

from flask import Flask, request

from backend.security.addresses import rate_limit_address
from backend.security.authentication import Credentials
from backend.security.guards import get_guard
from backend.services.gateway.domain.caller_identity import CallerAuthenticator


def accept_external_tokens(app: Flask, authenticator: CallerAuthenticator) -> None:
    """Exchange bearer tokens of an identity provider in requests for the routes of *app*.

    Forwarded requests are left to the data path, and public routes ignore the token.
    """

    @app.before_request
    def exchange_token() -> None:
        if request.blueprint == "forwarding" or request.endpoint is None:
            return
        authorization = request.headers.get("Authorization", "")
        if not authenticator.is_external(authorization) or _is_public(app, request.endpoint):
            return
        credentials = Credentials(authorization, "", request.headers.get("X-Tenant-ID"))
        caller = authenticator.authenticate_caller(
            credentials, rate_limit_address(request.remote_addr or "")
        )
        if caller.authorization:
            request.environ["HTTP_AUTHORIZATION"] = caller.authorization


def _is_public(app: Flask, endpoint: str) -> bool:
    guard = get_guard(app.view_functions[endpoint])
    return guard is None or guard.public
