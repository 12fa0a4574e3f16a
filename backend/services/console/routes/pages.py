"""The page of the console and its static files."""

from collections.abc import Mapping

from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from backend.chassis.static_files import StaticFile
from backend.chassis.web.app_factory import use
from backend.chassis.web.static_responses import IMMUTABLE, create_file_response
from backend.security import public
from backend.services.console.domain.assets import AssetFolder
from backend.services.console.errors import AssetNotFound

page_routes = Blueprint("pages", __name__)

# The only trusted-types policy creates the URL of the service worker: registering one requires a
# TrustedScriptURL. A page can create a policy only once, so injected code cannot create it again.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "media-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types service-worker",
    )
)
_WORKER_POLICY = "default-src 'none'; connect-src 'self'; script-src 'self'; frame-ancestors 'none'"
_PAGE_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
}
_FIXED_FILES: Mapping[str, Mapping[str, str]] = {
    "service-worker.js": {
        "Content-Security-Policy": _WORKER_POLICY,
        "Service-Worker-Allowed": "/console/",
    },
    "manifest.webmanifest": {},
}


@page_routes.get("/", defaults={"path": ""})
@page_routes.get("/<path:path>")
@public
def get_page(path: str) -> Response:
    """Return the page, which selects the screen by its URL. Clients other than browsers get 404.

    The service worker and the manifest have fixed URLs: browsers look for updates there.
    """
    if path in _FIXED_FILES:
        return _send_root_file(path, _FIXED_FILES[path])
    if path and not request.accept_mimetypes.accept_html:
        raise NotFound
    return _send_root_file("index.html", _PAGE_HEADERS)


@page_routes.get("/assets/<version>/<path:name>")
@public
def get_asset(version: str, name: str) -> Response:
    """Return a file of the current version, which browsers may keep forever."""
    assets = use(AssetFolder).get_assets()
    asset = assets.files.get(name)
    if asset is None or version != assets.version:
        raise AssetNotFound
    response = _create_response(asset)
    response.headers["Cache-Control"] = IMMUTABLE
    return response


def _send_root_file(name: str, headers: Mapping[str, str]) -> Response:
    """Return a file of `ROOT_FILES`, which browsers revalidate at each use."""
    assets = use(AssetFolder).get_assets()
    asset = assets.root_files.get(name)
    if asset is None:
        raise AssetNotFound
    response = _create_response(asset)
    response.headers.extend(headers)
    response.headers["Cache-Control"] = "no-cache"
    response.set_etag(assets.version, weak=True)
    response.make_conditional(request)
    return response


def _create_response(asset: StaticFile) -> Response:
    response = create_file_response(asset)
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    return response
