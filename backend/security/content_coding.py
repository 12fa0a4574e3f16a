"""Decode request bodies with a Content-Encoding (RFC 9110, 8.4), in bounded memory."""

import io
import zlib
from typing import IO, Any, cast

from flask import request

from backend.security.http_errors import HttpError

# The window size selects the format: gzip (RFC 1952) or zlib (RFC 1950), which HTTP names deflate.
_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_ACCEPTED_CODINGS = "gzip, deflate"
_READ_BYTES = 16 * 1024


def has_content_coding() -> bool:
    """Return True if the body of the current request is encoded."""
    return _get_coding() != "identity"


def open_body() -> IO[bytes]:
    """Return a stream of the body of the current request, decoded as it is read.

    The decoded size is not limited: the caller must read a limited number of bytes.

    Raises:
        HttpError: 415 if the coding is not supported; while reading, 400 if the body does not match
            its coding.
    """
    coding = _get_coding()
    if coding == "identity":
        return request.stream
    if coding not in _WINDOW_BITS:
        # RFC 9110, 12.5.3: Accept-Encoding in a response lists the codings for requests.
        raise HttpError(
            415,
            "unsupported_content_coding",
            "Unsupported content coding",
            f"Send the body without Content-Encoding, or with one of: {_ACCEPTED_CODINGS}.",
            headers={"Accept-Encoding": _ACCEPTED_CODINGS},
        )
    reader = io.BufferedReader(_DecodingReader(request.stream, _WINDOW_BITS[coding]), _READ_BYTES)
    return cast(IO[bytes], reader)


def _get_coding() -> str:
    return request.headers.get("Content-Encoding", "").strip().lower() or "identity"


class _DecodingReader(io.RawIOBase):
    """Reads and decodes *encoded*. Memory use does not depend on the compression ratio."""

    def __init__(self, encoded: IO[bytes], window_bits: int) -> None:
        self._encoded = encoded
        self._window_bits = window_bits
        self._decoder = zlib.decompressobj(window_bits)
        self._pending = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = len(buffer)
        while size:
            if self._decoder.eof and not self._start_next_member():
                return 0
            data = self._pending or self._encoded.read(_READ_BYTES)
            try:
                decoded = self._decoder.decompress(data, size)
            except zlib.error:
                raise _malformed_body() from None
            self._pending = self._decoder.unconsumed_tail
            if decoded:
                buffer[: len(decoded)] = decoded
                return len(decoded)
            if not data and not self._decoder.eof:
                raise _malformed_body()
        return 0

    def _start_next_member(self) -> bool:
        """Continue after the end of a gzip member. Return False at the end of the body."""
        self._pending = self._decoder.unused_data or self._encoded.read(_READ_BYTES)
        if not self._pending:
            return False
        if self._window_bits != _WINDOW_BITS["gzip"]:  # only gzip files have several members
            raise _malformed_body()
        self._decoder = zlib.decompressobj(self._window_bits)
        return True


def _malformed_body() -> HttpError:
    return HttpError(
        400,
        "malformed_content_coding",
        "Malformed content coding",
        "The body is damaged, incomplete, or not encoded as Content-Encoding states.",
    )
