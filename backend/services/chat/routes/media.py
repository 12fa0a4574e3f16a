"""Files of messages at signed links, for providers and contacts."""

from flask import Blueprint, Response
from werkzeug.utils import secure_filename

from backend.chassis.web.app_factory import use
from backend.chassis.web.file_downloads import send_download
from backend.chassis.web.openapi import request_example, responds_with_stream
from backend.security import public
from backend.services.chat.domain.media.links import MediaLinks
from backend.services.chat.errors import ResourceNotFound

media = Blueprint("media", __name__, url_prefix="/media")

# The page must not act with the rights of a signed-in user who opens the link.
_POLICY = "sandbox; default-src 'none'"


@media.get("/<token>")
@public
@responds_with_stream("application/octet-stream", errors=(ResourceNotFound,))
@request_example(token="att_01a22900749f7e0f26155c57fe78.1800000000.signature")  # noqa: S106
def get_linked_file(token: str) -> Response:
    """Get a file by a signed link, which messages to channels contain.

    A link of a provider is valid for an hour, one in a text for three days.
    """
    linked = use(MediaLinks).find_file(token)
    response = send_download(
        linked.source,
        mimetype=linked.mime or "application/octet-stream",
        download_name=secure_filename(linked.name) or "file",
        etag=linked.version,
    )
    response.headers["Cache-Control"] = "private, no-store"
    response.headers["Content-Security-Policy"] = _POLICY
    return response
