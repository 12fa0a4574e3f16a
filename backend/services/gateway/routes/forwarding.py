"""Forward to the services behind, as Flask sees it: the specification of the data path."""

from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Flask, Response, after_this_request, g, request
from flask.typing import ResponseReturnValue

from backend.chassis.web.app_factory import use
from backend.security import public
from backend.security.http_errors import request_id
from backend.services.gateway.domain.cors import CrossOrigin, is_preflight
from backend.services.gateway.domain.forwarding import Arrival, Forwarding
from backend.services.gateway.domain.paths import BadTarget as NoNormalForm
from backend.services.gateway.domain.paths import normal_form
from backend.services.gateway.domain.table import Table
from backend.services.gateway.errors import BadTarget, UnknownRoute

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_PIECE = 64 * 1024


def forwarding_routes(table: Table) -> Blueprint:
    """One rule for each prefix of *table*."""
    bp = Blueprint("forwarding", __name__)
    for route in table.routes:
        for rule in (route.prefix, f"{route.prefix}/", f"{route.prefix}/<path:rest>"):
            bp.add_url_rule(
                rule, route.name, forward, methods=METHODS, provide_automatic_options=False
            )
    return bp


@public
def forward(rest: str = "") -> ResponseReturnValue:  # noqa: ARG001 - the raw target is forwarded
    """Pass the request on. Who may do what, the service decides."""
    after_this_request(_count)
    departure = use(Forwarding).forward(_arrival())
    response = Response(departure.body, departure.status, departure.fields, direct_passthrough=True)
    if not any(name.lower() == "content-type" for name, _ in departure.fields):
        del response.headers["Content-Type"]
    # The server in front of this app writes its own.
    response.headers.remove("Date")
    return response


def check_targets(app: Flask) -> None:
    """Refuse every target without a normal form, whichever route it would match."""

    @app.before_request
    def normalise() -> None:
        try:
            g.target = normal_form(_raw_target(request.environ))
        except NoNormalForm as error:
            raise BadTarget(str(error)) from error


def answer_across_origins(app: Flask, cross_origin: CrossOrigin) -> None:
    """Answer preflights here, and mark the gateway's own answers like all others."""

    @app.before_request
    def preflight() -> Response | None:
        origin = request.headers.get("Origin", "")
        asked = request.headers.get("Access-Control-Request-Method", "")
        if not is_preflight(request.method, origin, asked):
            return None
        response = Response(status=204)
        response.headers.extend(cross_origin.preflight(origin))
        return response

    @app.after_request
    def mark(response: Response) -> Response:
        origin = request.headers.get("Origin", "")
        for name, value in cross_origin.fields(origin) if origin else ():
            if name not in response.headers:
                response.headers[name] = value
        return response


def _count(response: Response) -> Response:
    if "target" in g:
        use(Forwarding).count(g.target[0], response.status_code)
    return response


def _arrival() -> Arrival:
    if "target" not in g:
        raise UnknownRoute
    path, query = g.target
    body, length = _body(request.environ)
    return Arrival(
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


def _raw_target(environ: dict[str, Any]) -> str:
    """The request target as it came: PATH_INFO is decoded already, and hides what was sent."""
    target: str = environ.get("RAW_URI") or environ.get("REQUEST_URI") or environ["PATH_INFO"]
    return target


def _body(environ: dict[str, Any]) -> tuple[Iterator[bytes] | None, int | None]:
    # Not `request.stream`: it ends in silence at MAX_CONTENT_LENGTH, and the service
    # would take half of a body for the whole.
    stream = environ["wsgi.input"]
    if environ.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked":
        return iter(lambda: stream.read(_PIECE), b""), None
    length = int(environ.get("CONTENT_LENGTH") or 0)
    return (_exactly(stream, length), length) if length else (None, 0)


def _exactly(stream: Any, length: int) -> Iterator[bytes]:
    while length and (piece := stream.read(min(_PIECE, length))):
        length -= len(piece)
        yield piece
