"""Compress responses with gzip (RFC 9110, 8.4.1.3) if the client accepts it.

These responses are not compressed:

- streams and files, such as server-sent events, downloads and byte ranges,
- bodies of up to 1 KB, where gzip saves nothing, and of more than 16 MB, to bound the CPU time,
- media types that are compressed already,
- responses for which a view sets `Cache-Control: no-store` or `no-transform`. Views set it if the
  body contains a token, a key or a password: if the body also repeats text of the request, an
  observer who can vary that text could derive the secret from the compressed size (BREACH).
"""

import gzip
import re

from flask import Flask, Response, request

MIN_BYTES = 1024
MAX_BYTES = 16 * 1024 * 1024
# Level 4 takes a fifth of the time of level 9, the default, and the result is 6 % larger.
_LEVEL = 4
_COMPRESSIBLE = re.compile(
    r"text/(?!event-stream)[^;]+|application/(?:[^;]+\+)?(?:json|xml)|"
    r"application/(?:javascript|x-ndjson|yaml)|image/svg\+xml"
)


def compress_responses(app: Flask) -> None:
    """Compress the responses of *app*.

    Register this after the hooks that add default headers: hooks run in the opposite order.
    """
    app.after_request(_compress)


def prefers_gzip() -> bool:
    """Return True if the request accepts gzip at least as much as an unencoded body.

    Without Accept-Encoding return False: every coding is acceptable then (RFC 9110, 12.5.3), but
    clients that do not send the header often cannot decode a body.
    """
    # Not `accept_encodings.quality`: there, `*` takes precedence over a named coding.
    qualities = {coding.lower(): quality for coding, quality in request.accept_encodings}
    others = qualities.get("*", 0)
    gzip_quality = qualities.get("gzip", qualities.get("x-gzip", others))
    return gzip_quality > 0 and gzip_quality >= qualities.get("identity", others)


def _compress(response: Response) -> Response:
    if not _is_compressible(response):
        return response
    response.vary.add("Accept-Encoding")
    if not prefers_gzip():
        return response
    body = response.get_data()
    compressed = gzip.compress(body, _LEVEL, mtime=0)
    if len(compressed) >= len(body):
        return response
    response.set_data(compressed)
    response.headers["Content-Encoding"] = "gzip"
    etag, is_weak = response.get_etag()
    if etag is not None and not is_weak:
        # RFC 9110, 8.8.3.3: a strong validator must differ between codings. A weak one still
        # matches in If-None-Match.
        response.set_etag(etag, weak=True)
    return response


def _is_compressible(response: Response) -> bool:
    if response.is_streamed or response.direct_passthrough or response.status_code in (206, 304):
        return False
    cache_control = response.cache_control
    if cache_control.no_store or cache_control.no_transform:
        return False
    if "Content-Encoding" in response.headers or "Content-Range" in response.headers:
        return False
    length = response.calculate_content_length()
    if length is None or not MIN_BYTES < length <= MAX_BYTES:
        return False
    return _COMPRESSIBLE.fullmatch(response.mimetype or "") is not None
