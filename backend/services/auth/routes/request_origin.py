"""Client address, user agent and id of the current request."""

from dataclasses import dataclass

from flask import request

from backend.chassis.web.app_factory import use
from backend.security.addresses import Network, client_address
from backend.security.request_ids import request_id
from backend.services.auth.domain.audit import RequestOrigin


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """Networks of proxies whose X-Forwarded-For header is trusted."""

    networks: tuple[Network, ...]


def get_request_origin() -> RequestOrigin:
    """Return the origin of the current request."""
    forwarded = request.headers.get("X-Forwarded-For", "")
    return RequestOrigin(
        address=client_address(request.remote_addr or "", forwarded, use(TrustedProxies).networks),
        user_agent=request.user_agent.string,
        request_id=request_id(),
    )
