"""The service index at `/`, and the metrics of the gateway."""

from functools import cache
from typing import Any

from flask import Blueprint, Response, jsonify
from pydantic import BaseModel

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
def get_index() -> ServiceIndex:
    """List the services and the documentation."""
    table = use(RequestForwarder).table
    return ServiceIndex(
        name="AI Agent System",
        version=__version__,
        documentation="/docs",
        openapi="/openapi.json",
        health="/health",
        services={route.name: route.prefix for route in table.routes},
    )


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
