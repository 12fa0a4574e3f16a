"""Client address, user agent and id of the current request."""

from flask import current_app, request

from backend.chassis.web import audit
from backend.security.authentication import get_security_context
from backend.security.service_tokens import GATEWAY_HEADER
from backend.services.auth.domain.audit import RequestOrigin

_MAX_ADDRESS_CHARACTERS = 64


def get_request_origin() -> RequestOrigin:
    """Return the origin of the current request."""
    origin = audit.get_request_origin()
    return RequestOrigin(
        address=origin.address,
        user_agent=request.user_agent.string,
        request_id=origin.request_id,
    )


def get_client_address() -> str:
    """Return the address that the gateway forwards, or the address of the TCP peer.

    Other callers could choose a new address for each guess of a password.
    """
    peer = request.remote_addr or ""
    services = get_security_context(current_app).service_tokens
    token = request.headers.get(GATEWAY_HEADER, "")
    if services is None or not token or not services.is_from_gateway(token):
        return peer
    return request.headers.get("X-Forwarded-For", peer)[:_MAX_ADDRESS_CHARACTERS]
