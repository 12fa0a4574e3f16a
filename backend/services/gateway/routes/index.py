"""The service index at `/`, and the metrics of the gateway."""

from functools import cache
from typing import Any

from flask import Blueprint, Response, jsonify, request
from pydantic import BaseModel
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from backend import __version__
from backend.chassis.messaging import asyncapi
from backend.chassis.observability.metrics import Metrics, build_metrics_response
from backend.chassis.web.app_factory import accept_metrics_key, use
from backend.chassis.web.openapi import responds_with, responds_with_stream
from backend.security import Permission, public, require_permission
from backend.services.gateway.domain.forwarding import RequestForwarder

index_routes = Blueprint("front", __name__)


class ServiceIndex(BaseModel):
    """Links to the documentation, and the path prefix of each service."""

    name: str
    version: str
    documentation: str
    openapi: str
    health: str
    services: dict[str, str]


@index_routes.get("/")
@public
@responds_with(ServiceIndex)
def get_index() -> ServiceIndex | Response:
    """List the services and the documentation. Browsers are redirected to the console."""
    if prefers_html(request.headers.get("Accept", "")):
        return Response(status=303, headers={"Location": "/console/", "Vary": "Accept"})
    table = use(RequestForwarder).table
    return ServiceIndex(
        name="AI Agent System",
        version=__version__,
        documentation="/docs",
        openapi="/openapi.json",
        health="/health",
        services={route.name: route.prefix for route in table.routes},
    )


def prefers_html(accept: str) -> bool:
    """Return True if the header *accept* names HTML with a higher quality than JSON."""
    media_types = parse_accept_header(accept, MIMEAccept)
    return media_types.best_match(["application/json", "text/html"]) == "text/html"


# Without `responds_with`, a route is not listed in the OpenAPI document: POST exists only for
# HTTP conformance tests (Http11Probe), which send request bodies to `/`.
@index_routes.post("/")
@public
def post_index() -> Response:
    """Respond like `GET /`."""
    response: Response = get_index()
    return response


@index_routes.get("/asyncapi.json")
@public
def get_asyncapi_document() -> Response:
    """Get the AsyncAPI document of the events that the services publish."""
    return jsonify(_build_asyncapi_document())


@cache
def _build_asyncapi_document() -> dict[str, Any]:
    return asyncapi.build_document()


@index_routes.get("/metrics")
@accept_metrics_key
@require_permission(Permission.SYSTEM_READ)
@responds_with_stream("text/plain")
def get_metrics() -> Response:
    """Get the metrics in Prometheus' text format.

    Allowed with the metrics key, or with the permission `system:read`.
    """
    return build_metrics_response(use(Metrics))
