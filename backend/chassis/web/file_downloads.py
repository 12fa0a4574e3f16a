"""Send files: conditional requests and byte ranges (RFC 9110, 13 and 14)."""

import re
from pathlib import Path

from flask import Response, request
from werkzeug.http import parse_etags
from werkzeug.utils import send_file

from backend.chassis.data_encryption.files import SealedReader

# RFC 9110, 14.1.2. A header with several ranges does not match.
_RANGE = re.compile(r"bytes=[ \t]*(?:([0-9]+)-([0-9]*)|-([0-9]+))[ \t]*", re.ASCII | re.IGNORECASE)
# Larger numbers are beyond the end of every file.
_MAX_POSITION = 2**63 - 1
# Encrypted files up to this size are verified before the first byte is sent. The response of a
# larger one ends early at a damaged part.
_MAX_VERIFIED_BYTES = 32 * 2**20


def send_download(
    source: Path | SealedReader, *, mimetype: str, download_name: str, etag: str
) -> Response:
    """Return the file *source* as an attachment, or the part that the request selects.

    A Range header with several ranges, another unit or another syntax is ignored, as RFC 9110,
    14.2 allows: the response is the whole file.

    Raises:
        FileNotFoundError: there is no file.
        RequestedRangeNotSatisfiable: the range starts after the end of the file.
        DamagedValue: the file is encrypted and damaged.
    """
    if isinstance(source, SealedReader) and source.size <= _MAX_VERIFIED_BYTES:
        source.verify()
    size = source.size if isinstance(source, SealedReader) else source.stat().st_size
    variables = dict(request.environ)
    header = variables.pop("HTTP_RANGE", None)
    # Range applies to GET only, after conditional headers (RFC 9110, 13.2.2 and 14.2).
    if header is not None and request.method == "GET" and not _is_cached(etag):
        selected = _normalize_range(header, size)
        if selected is not None:
            variables["HTTP_RANGE"] = selected
    is_path = isinstance(source, Path)
    response: Response = send_file(  # type: ignore[assignment]
        source,  # type: ignore[arg-type]
        variables,
        mimetype=mimetype,
        as_attachment=True,
        download_name=download_name,
        etag=etag,
        conditional=is_path,
        response_class=Response,
    )
    if not is_path:
        # Werkzeug knows the length of paths only.
        response.content_length = size
        response.make_conditional(variables, accept_ranges=True, complete_length=size)
    return response


def _is_cached(etag: str) -> bool:
    """Return True if If-None-Match states that the client has the file."""
    return parse_etags(request.headers.get("If-None-Match")).contains_weak(etag)


def _normalize_range(header: str, size: int) -> str | None:
    """Return *header* in a form that Werkzeug evaluates, or None to ignore it.

    Werkzeug rejects a suffix range longer than the file, although it selects the whole file.
    """
    match = _RANGE.fullmatch(header)
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        length = _parse_position(suffix)
        return f"bytes=0-{size - 1}" if length >= size > 0 else f"bytes=-{length}"
    start = _parse_position(first)
    if not last:
        return f"bytes={start}-"
    end = _parse_position(last)
    return f"bytes={start}-{end}" if end >= start else None


def _parse_position(digits: str) -> int:
    return min(int(digits.lstrip("0")[:20] or "0"), _MAX_POSITION)
