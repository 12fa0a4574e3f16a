"""Flask routes that forward requests to services, for the development server."""

import json
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Flask, Response, after_this_request, g, request
from flask.typing import ResponseReturnValue

from backend.chassis.web.app_factory import use
from backend.chassis.web.http1.errors import InvalidRequest
from backend.chassis.web.http1.request_head import split_absolute_form
from backend.chassis.web.http1.request_target import InvalidTarget, normalize_target
from backend.chassis.web.openai_errors import to_openai_error
from backend.security import public
from backend.security.request_ids import request_id
from backend.services.gateway.domain.cors import CorsPolicy, is_preflight
from backend.services.gateway.domain.forwarding import ForwardRequest, RequestForwarder
from backend.services.gateway.domain.routing.route_table import RouteTable
from backend.services.gateway.errors import InvalidRequestTarget, UnknownRoute

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_READ_BYTES = 64 * 1024


def create_forwarding_blueprint(table: RouteTable) -> Blueprint:
    """Return a blueprint with the rules for each prefix of *table*."""
    blueprint = Blueprint("forwarding", __name__)
    for route in table.routes:
        for rule in (route.prefix, f"{route.prefix}/", f"{route.prefix}/<path:rest>"):
            blueprint.add_url_rule(
                rule, route.name, forward, methods=METHODS, provide_automatic_options=False
            )
    return blueprint


@public
def forward(rest: str = "") -> ResponseReturnValue:  # noqa: ARG001 - the raw target is forwarded
    """Forward the request. The service checks the permissions of the caller."""
    after_this_request(_count_request)
    forwarded = use(RequestForwarder).forward_request(_create_forward_request())
    response = Response(forwarded.body, forwarded.status, forwarded.fields, direct_passthrough=True)
    if not any(name.lower() == "content-type" for name, _ in forwarded.fields):
        del response.headers["Content-Type"]
    # The HTTP server adds its own Date.
    response.headers.remove("Date")
    return response


def reject_invalid_targets(app: Flask) -> None:
    """Reject every request target without a normal form, before routing."""

    @app.before_request
    def normalize() -> None:
        try:
            g.target = normalize_target(_get_raw_target(request.environ))
        except InvalidTarget as error:
            raise InvalidRequestTarget(str(error)) from error
        except InvalidRequest as error:
            raise InvalidRequestTarget(error.detail) from error


def convert_problems_to_openai_errors(app: Flask, table: RouteTable) -> None:
    """Send the gateway's own errors in OpenAI's format on the paths of OpenAI's API."""

    @app.after_request
    def convert(response: Response) -> Response:
        is_problem = response.mimetype == "application/problem+json" and not response.is_streamed
        if is_problem and table.has_openai_errors(request.path):
            response.set_data(json.dumps(to_openai_error(response.get_json())))
            response.content_type = "application/json"
        return response


def apply_cors(app: Flask, cors: CorsPolicy, table: RouteTable) -> None:
    """Answer preflight requests, and add CORS headers to the gateway's own responses.

    For cross-origin routes the services do both.
    """

    def is_left_to_service() -> bool:
        match = table.find_route(g.target[0]) if "target" in g else None
        return match is not None and match[0].is_cross_origin

    @app.before_request
    def answer_preflight() -> Response | None:
        origin = request.headers.get("Origin", "")
        requested_method = request.headers.get("Access-Control-Request-Method", "")
        if not is_preflight(request.method, origin, requested_method) or is_left_to_service():
            return None
        response = Response(status=204)
        response.headers.extend(cors.preflight_fields(origin))
        return response

    @app.after_request
    def add_cors_headers(response: Response) -> Response:
        origin = request.headers.get("Origin", "")
        if is_left_to_service():
            return response
        for name, value in cors.response_fields(origin) if origin else ():
            if name not in response.headers:
                response.headers[name] = value
        return response


def _count_request(response: Response) -> Response:
    if "target" in g:
        use(RequestForwarder).count_request(g.target[0], response.status_code)
    return response


def _create_forward_request() -> ForwardRequest:
    if "target" not in g:
        raise UnknownRoute
    path, query = g.target
    body, length = _get_body(request.environ)
    return ForwardRequest(
        method=request.method,
        path=path,
        query=query,
        fields=list(request.headers.items()),
        peer=request.remote_addr or "",
        scheme=request.scheme,
        host=request.host,
        request_id=request_id(),
        body=body,
        length=length,
    )


def _get_raw_target(environ: dict[str, Any]) -> str:
    """Return the request target as received. PATH_INFO is decoded and hides escapes."""
    target: str = environ.get("RAW_URI") or environ.get("REQUEST_URI") or environ["PATH_INFO"]
    # For a target in absolute form, the development server has already read the host from it.
    authority, rest = split_absolute_form(target)
    return "/" if authority is not None and rest == "*" else rest


def _get_body(environ: dict[str, Any]) -> tuple[Iterator[bytes] | None, int | None]:
    """Return (body, length); the length is None for a chunked body."""
    # Do not use `request.stream`: it ends silently at MAX_CONTENT_LENGTH, and the service would
    # receive the truncated body as if it were complete.
    stream = environ["wsgi.input"]
    if environ.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked":
        return iter(lambda: stream.read(_READ_BYTES), b""), None
    length = int(environ.get("CONTENT_LENGTH") or 0)
    return (_iter_body(stream, length), length) if length else (None, 0)


def _iter_body(stream: Any, length: int) -> Iterator[bytes]:
    while length and (piece := stream.read(min(_READ_BYTES, length))):
        length -= len(piece)
        yield piece
