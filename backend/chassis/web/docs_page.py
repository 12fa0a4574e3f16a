"""Interactive API documentation: Swagger UI, served from the installed package."""

import gzip
import mimetypes
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, abort, jsonify

from backend.chassis.web.compression import prefers_gzip
from backend.chassis.web.openapi import OPERATIONS_TAG
from backend.security import public

_ASSETS = {
    "swagger-ui.css": "css/swagger-ui.css",
    "swagger-ui-bundle.js": "js/swagger-ui-bundle.js",
}
# Everything is loaded from this host. Swagger UI sets inline styles by script.
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
# The tags keep the order of the document. All groups are open except the last one.
_START = f"""const page = SwaggerUIBundle({{
  url: "openapi.json",
  dom_id: "#page",
  deepLinking: true,
  docExpansion: "list",
  displayRequestDuration: true,
  onComplete: () => page.layoutActions.show(["operations-tag", "{OPERATIONS_TAG}"], false),
}});
"""


def create_docs_blueprint(title: str, build_document: Callable[[], Any]) -> Blueprint:
    """Return the routes `/openapi.json` and `/docs`.

    Args:
        title: title of the page.
        build_document: returns the OpenAPI document.
    """
    blueprint = Blueprint("docs", __name__)

    @blueprint.get("/openapi.json")
    @public
    def openapi() -> Response:
        return jsonify(build_document())

    @blueprint.get("/docs")
    @public
    def page() -> Response:
        return _with_policy(Response(_PAGE.format(title=title), content_type="text/html"))

    @blueprint.get("/docs/<name>")
    @public
    def asset(name: str) -> Response:
        if name == "start.js":
            return _with_policy(Response(_START, content_type="text/javascript"))
        if name not in _ASSETS:
            abort(404)
        content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        if prefers_gzip():
            response = Response(_read_gzipped_asset(_ASSETS[name]), content_type=content_type)
            response.headers["Content-Encoding"] = "gzip"
        else:
            response = Response(_read_asset(_ASSETS[name]), content_type=content_type)
        response.vary.add("Accept-Encoding")
        response.headers["Cache-Control"] = "public, max-age=86400"
        return response

    return blueprint


def _with_policy(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = _CONTENT_SECURITY_POLICY
    return response


def _read_asset(path: str) -> bytes:
    # The package is located, not imported: only its files are used, not its Flask extension.
    spec = find_spec("flask_openapi3_swagger")
    if spec is None or spec.origin is None:
        abort(404)
    return (Path(spec.origin).parent / "templates" / "swagger" / path).read_bytes()


@cache
def _read_gzipped_asset(path: str) -> bytes:
    # Compressed once: it takes 30 ms of the gateway's CPU time, and anyone may request it.
    return gzip.compress(_read_asset(path), mtime=0)
