"""The page to try a service's routes: Swagger UI, served from the installed package."""

import mimetypes
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, abort, jsonify

from backend.security import public

_ASSETS = {
    "swagger-ui.css": "css/swagger-ui.css",
    "swagger-ui-bundle.js": "js/swagger-ui-bundle.js",
}
# Everything comes from this host; the page's own styles are set by script.
_POLICY = (
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
_START = 'SwaggerUIBundle({url: "openapi.json", dom_id: "#page", deepLinking: true});\n'


def docs_routes(title: str, document: Callable[[], Any]) -> Blueprint:
    """`/openapi.json` with what *document* gives, and `/docs` to read and try it."""
    bp = Blueprint("docs", __name__)

    @bp.get("/openapi.json")
    @public
    def openapi() -> Response:
        return jsonify(document())

    @bp.get("/docs")
    @public
    def page() -> Response:
        return _with_policy(Response(_PAGE.format(title=title), content_type="text/html"))

    @bp.get("/docs/<name>")
    @public
    def asset(name: str) -> Response:
        if name == "start.js":
            return _with_policy(Response(_START, content_type="text/javascript"))
        if name not in _ASSETS:
            abort(404)
        content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        response = Response(_asset(_ASSETS[name]), content_type=content_type)
        response.headers["Cache-Control"] = "public, max-age=86400"
        return response

    return bp


def _with_policy(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = _POLICY
    return response


def _asset(path: str) -> bytes:
    # Found, not imported: only the files are wanted, not the extension.
    spec = find_spec("flask_openapi3_swagger")
    if spec is None or spec.origin is None:
        abort(404)
    return (Path(spec.origin).parent / "templates" / "swagger" / path).read_bytes()
