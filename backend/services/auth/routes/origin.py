"""From where the request in hand came."""

from dataclasses import dataclass

from flask import request

from backend.chassis.web.app_factory import use
from backend.security.addresses import Network, client_address
from backend.security.http_errors import request_id
from backend.services.auth.domain.audit import Origin


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """Whose word about the caller's address is taken."""

    networks: tuple[Network, ...]


def origin() -> Origin:
    forwarded = request.headers.get("X-Forwarded-For", "")
    return Origin(
        address=client_address(request.remote_addr or "", forwarded, use(TrustedProxies).networks),
        user_agent=request.user_agent.string,
        request_id=request_id(),
    )
