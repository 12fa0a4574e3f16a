"""Responses with static files, which browsers may keep."""

from flask import Response

from backend.chassis.static_files import StaticFile
from backend.chassis.web.compression import prefers_gzip

IMMUTABLE = "public, max-age=31536000, immutable"
"""Cache-Control of a file whose URL contains its version."""


def create_file_response(file: StaticFile) -> Response:
    """Return *file*, compressed if the client prefers it."""
    use_gzip = file.compressed is not None and prefers_gzip()
    response = Response(
        file.compressed if use_gzip else file.content, content_type=file.content_type
    )
    if use_gzip:
        response.headers["Content-Encoding"] = "gzip"
    response.vary.add("Accept-Encoding")
    return response
