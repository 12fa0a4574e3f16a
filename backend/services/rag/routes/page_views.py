"""Endpoints for pages of documents: images, and the boxes of quotes."""

import re
from typing import Annotated
from urllib.parse import unquote

from flask import Blueprint, Response, request
from pydantic import BaseModel, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import request_example, responds_with, responds_with_stream
from backend.security import (
    Input,
    Permission,
    invalid_field,
    require_permission,
    validate_query,
)
from backend.services.rag.domain.page_views import PageViewService
from backend.services.rag.errors import (
    DocumentNotFound,
    PageNotFound,
    PagePasswordRequired,
    PageRenderingBusy,
    PageUnavailable,
)
from backend.services.rag.routes.access import get_viewer
from backend.services.rag.routes.uploads import LINE, MAX_PASSWORD_CHARS

page_views = Blueprint("page_views", __name__)

_MAX_DIGITS = 7
MAX_POSITION = 2**31 - 1
Position = Annotated[int, Field(ge=0, le=MAX_POSITION)]
WIDTHS = (400, 800, 1200, 1800)
_PASSWORD_HEADER = "X-Document-Password"  # noqa: S105 - the name of the header
# A character has up to four bytes, each of which is encoded as three.
_MAX_HEADER_CHARACTERS = 12 * MAX_PASSWORD_CHARS
_ERRORS = (
    DocumentNotFound,
    PageNotFound,
    PagePasswordRequired,
    PageUnavailable,
    PageRenderingBusy,
)


class QuoteQuery(Input):
    """First character of a quote and the one after its last, in the document's text."""

    start: Position | None = None
    end: Position | None = None


class ImageQuery(Input):
    """Width of an image in pixels: 400, 800, 1200 or 1800."""

    width: Annotated[int, Field(json_schema_extra={"enum": list(WIDTHS)})] = 1200


class PageResponse(BaseModel):
    """A page of a PDF: its size in points, and the boxes of the quote, one for each line.

    A box is (left, top, right, bottom) in fractions of the displayed page. `exact` is true if the
    page's characters equal the stored text. `coverage` is the fraction of the quote's characters
    on this page that have a box.
    """

    page: int
    pages: int
    width: float
    height: float
    boxes: list[tuple[float, float, float, float]]
    exact: bool
    coverage: float


@page_views.get("/documents/<document_id>/pages/<number>")
@require_permission(Permission.RAG_READ)
@validate_query(QuoteQuery)
@responds_with(PageResponse, errors=_ERRORS)
@request_example(number="1", start="0", end="20")
def get_page(query: QuoteQuery, document_id: str, number: str) -> PageResponse:
    """Get the size of a PDF page, and where the characters `start` to `end` are on it.

    Of a quote that continues on another page, the boxes of the part on this page are returned.

    `X-Document-Password` opens an encrypted PDF, here and in the requests for images. It contains
    the password as UTF-8 with percent-encoding, and is not stored.
    """
    page = _parse_number(number)
    span = None if query.start is None or query.end is None else (query.start, query.end)
    found = use(PageViewService).find_quote(get_viewer(), document_id, page, span, _get_password())
    return PageResponse(
        page=page,
        pages=found.pages,
        width=found.width,
        height=found.height,
        boxes=found.boxes,
        exact=found.exact,
        coverage=found.coverage,
    )


@page_views.get("/documents/<document_id>/pages/<number>.png")
@require_permission(Permission.RAG_READ)
@validate_query(ImageQuery)
@responds_with_stream("image/png", errors=_ERRORS)
@request_example(number="1", width="800")
def get_page_as_png(query: ImageQuery, document_id: str, number: str) -> Response:
    """Get a PDF page as a PNG image."""
    return _send_image(query, document_id, number, "png")


@page_views.get("/documents/<document_id>/pages/<number>.webp")
@require_permission(Permission.RAG_READ)
@validate_query(ImageQuery)
@responds_with_stream("image/webp", errors=_ERRORS)
@request_example(number="1", width="800")
def get_page_as_webp(query: ImageQuery, document_id: str, number: str) -> Response:
    """Get a PDF page as a WebP image, which is half as large as PNG."""
    return _send_image(query, document_id, number, "webp")


def _parse_number(text: str) -> int:
    # Not a converter of the route: an unknown page is reported like an unknown document.
    if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS):
        raise PageNotFound
    return int(text)


def _get_password() -> str | None:
    """Return the password of the document in the request, or None."""
    header = request.headers.get(_PASSWORD_HEADER)
    if not header:
        return None
    try:
        password = unquote(header[: _MAX_HEADER_CHARACTERS + 1], errors="strict")
    except UnicodeDecodeError:
        password = ""
    if not (0 < len(password) <= MAX_PASSWORD_CHARS and re.fullmatch(LINE, password)):
        raise invalid_field(
            f"#/{_PASSWORD_HEADER}",
            f"Send up to {MAX_PASSWORD_CHARS} printable characters as percent-encoded UTF-8.",
        )
    return password


def _send_image(query: ImageQuery, document_id: str, number: str, image_format: str) -> Response:
    if query.width not in WIDTHS:
        raise invalid_field("#/width", "Use 400, 800, 1200 or 1800.")
    password = _get_password()
    image = use(PageViewService).get_image(
        get_viewer(), document_id, _parse_number(number), query.width, image_format, password
    )
    response = Response(content_type=f"image/{image_format}")
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    if password:
        response.headers["Cache-Control"] = "no-store"
        response.set_data(image.render())
        return response
    response.set_etag(image.etag)
    # Browsers ask each time: the document may be deleted, or no longer shared with the user.
    response.headers["Cache-Control"] = "private, no-cache"
    response.make_conditional(request)
    if response.status_code != 304:
        response.set_data(image.render())
    return response
