"""The widget for web sites: its script, the page in the frame, and the files of the page."""

from typing import Final

from flask import Blueprint, Response, request

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import request_example, responds_with_stream
from backend.chassis.web.static_responses import IMMUTABLE, create_file_response
from backend.security import public
from backend.services.chat.domain.visitors.sessions import VisitorSessions, WebAccount
from backend.services.chat.domain.visitors.widget_files import WidgetFiles
from backend.services.chat.errors import ResourceNotFound, WidgetFileNotFound

widget = Blueprint("widget", __name__)

# Sites load the script at each view of a page, and notice a new version after this time.
_SCRIPT_CACHE: Final = "public, max-age=600"
_POLICY: Final = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
)
_DEFAULT_COLOUR: Final = "#1d4ed8"


@widget.get("/widget.js")
@public
@responds_with_stream("text/javascript")
def get_widget_script() -> Response:
    """Get the script that shows the chat on a site."""
    files = use(WidgetFiles)
    response = create_file_response(files.script)
    response.headers["Cache-Control"] = _SCRIPT_CACHE
    response.set_etag(files.version, weak=True)
    response.make_conditional(request)
    return _allow_all_sites(response)


@widget.get("/widget/<version>/<name>")
@public
@responds_with_stream("text/javascript", "text/css", errors=(WidgetFileNotFound,))
@request_example(version="0123456789ab", name="frame.js")
def get_widget_file(version: str, name: str) -> Response:
    """Get a file of the current version of the frame page, which browsers may keep forever."""
    files = use(WidgetFiles)
    file = files.files.get(name)
    if file is None or version != files.version:
        raise WidgetFileNotFound
    response = create_file_response(file)
    response.headers["Cache-Control"] = IMMUTABLE
    return _allow_all_sites(response)


@widget.get("/web/<account>")
@public
@responds_with_stream("text/html", errors=(ResourceNotFound,))
@request_example(account="acc_01a22900749f7e0f26155c57fe78")
def get_frame_page(account: str) -> Response:
    """Get the page of the chat, which only the sites of the account can show in a frame."""
    sessions = use(VisitorSessions)
    found = sessions.find_account(account)
    if found is None:
        raise ResourceNotFound("account")
    config = {
        "account": found.id,
        "isOpen": found.is_active,
        "ticket": sessions.issue_ticket(found),
        "title": _get_text(found, "title"),
        "greeting": _get_text(found, "greeting"),
        "colour": _get_text(found, "colour") or _DEFAULT_COLOUR,
    }
    page = use(WidgetFiles).render_page(_get_text(found, "title"), config)
    response = Response(page, content_type="text/html; charset=utf-8")
    ancestors = " ".join(found.origins) or "'none'"
    response.headers["Content-Security-Policy"] = "; ".join(
        (*_POLICY, f"frame-ancestors {ancestors}")
    )
    response.headers["Cache-Control"] = "no-store"
    response.vary.add("Origin")
    origin = request.headers.get("Origin")
    if origin in found.origins:
        response.headers["Access-Control-Allow-Origin"] = origin
    return response


def _get_text(account: WebAccount, name: str) -> str:
    value = account.settings.get(name)
    return value if isinstance(value, str) else ""


def _allow_all_sites(response: Response) -> Response:
    """Let every site load a file of the widget, also with a cross-origin embedder policy.

    Frames in a sandbox load modules with the origin `null`. The files are the same for all.
    """
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response
