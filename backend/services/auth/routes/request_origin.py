"""Client address, user agent and id of the current request."""

from flask import request

from backend.chassis.web import audit
from backend.services.auth.domain.audit import RequestOrigin


def get_request_origin() -> RequestOrigin:
    """Return the origin of the current request."""
    origin = audit.get_request_origin()
    return RequestOrigin(
        address=origin.address,
        user_agent=request.user_agent.string,
        request_id=origin.request_id,
    )
