"""The gateway's own page: what this is and where to read on; and its counters."""

from ipaddress import ip_address

from flask import Blueprint, Response, request
from pydantic import BaseModel

from backend import __version__
from backend.chassis.observability.metrics import Metrics, metrics_response
from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import answers, answers_stream
from backend.security import Permission, public
from backend.security.addresses import client_address
from backend.security.authentication import authenticate, refuse_unless
from backend.services.gateway.domain.forwarding import Forwarding
from backend.services.gateway.domain.metrics_key import MetricsKey

front = Blueprint("front", __name__)


class Front(BaseModel):
    """What answers here."""

    name: str
    version: str
    documentation: str
    openapi: str
    health: str
    services: dict[str, str]


@front.route("/", methods=["GET", "POST"])
@public
@answers(Front)
def index() -> Front:
    """What this is, and where the documents are."""
    table = use(Forwarding).table
    return Front(
        name="AI Agent System",
        version=__version__,
        documentation="/docs",
        openapi="/openapi.json",
        health="/health",
        services={route.name: route.prefix for route in table.routes},
    )


@front.get("/metrics")
@public
@answers_stream("text/plain")
def metrics() -> Response:
    """Counters for Prometheus: from this machine, with its key, or with `system:read`."""
    if use(MetricsKey).is_in(request.headers.get("Authorization", "")):
        return metrics_response(use(Metrics))
    forwarded = request.headers.get("X-Forwarded-For", "")
    address = client_address(request.remote_addr or "", forwarded, use(Forwarding).trusted)
    # With a proxy that we do not know in front, everybody would come from loopback.
    if forwarded or not ip_address(address).is_loopback:
        refuse_unless(authenticate(), Permission.SYSTEM_READ)
    return metrics_response(use(Metrics))
