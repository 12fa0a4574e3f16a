"""Cursor pagination of lists: `?limit=` and `?cursor=`, with `next_cursor` in the response.

A cursor is signed and valid for its list only, so that the sort key in it always has the type that
the list expects.
"""

import hmac
import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, TypeVar

from flask import current_app, request
from pydantic import AwareDatetime, BeforeValidator, Field

from backend.security import Input, invalid_field
from backend.security.base64url import decode_base64url, encode_base64url
from backend.security.key_derivation import derive_key

T = TypeVar("T")
_RFC3339_START = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]", re.ASCII)


def _require_rfc3339(value: object) -> object:
    # pydantic would accept a bare number as seconds since 1970.
    if isinstance(value, str) and not _RFC3339_START.match(value):
        raise ValueError("Write a time as in RFC 3339, such as 2030-01-31T12:00:00Z.")
    return value


Rfc3339Datetime = Annotated[AwareDatetime, BeforeValidator(_require_rfc3339)]
"""Datetime with a time zone, for fields of a query string."""
MAX_LIMIT = 200
_SIGNATURE_BYTES = 16
_INVALID_CURSOR = "Use the next_cursor of the previous page."


class PageQuery(Input):
    """Query string of a paginated list."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = 50
    cursor: Annotated[str, Field(max_length=1024)] | None = None

    def decode_cursor(self) -> tuple[str, ...] | None:
        """Return the sort key of the previous page's last item, or None for the first page.

        Raises:
            HttpError: 422 for a cursor that `paginate` did not create for this list.
        """
        if self.cursor is None:
            return None
        try:
            content = decode_base64url(self.cursor)
        except ValueError:
            raise invalid_field("#/cursor", _INVALID_CURSOR) from None
        signature, key = content[:_SIGNATURE_BYTES], content[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, _sign(key)):
            raise invalid_field("#/cursor", _INVALID_CURSOR)
        return tuple(json.loads(key))

    def decode_time_cursor(self) -> tuple[datetime, str] | None:
        """Return the cursor like `decode_cursor`, for lists sorted by a time and then by id."""
        match self.decode_cursor():
            case None:
                return None
            case (time, row_id):
                try:
                    return datetime.fromisoformat(time).astimezone(UTC), row_id
                except (ValueError, OverflowError):
                    pass
        raise invalid_field("#/cursor", _INVALID_CURSOR)


def paginate(
    rows: Sequence[T], limit: int, get_sort_key: Callable[[T], Sequence[str]]
) -> tuple[Sequence[T], str | None]:
    """Return one page of *rows* and the cursor of the next page, or None for the last page.

    Args:
        rows: up to *limit* + 1 rows after the current cursor. The extra row shows that there is a
            next page.
        limit: rows of a page.
        get_sort_key: returns the values that the rows are sorted by.
    """
    if len(rows) <= limit:
        return rows, None
    page = rows[:limit]
    key = json.dumps(list(get_sort_key(page[-1])), separators=(",", ":")).encode()
    return page, encode_base64url(_sign(key) + key)


def _sign(key: bytes) -> bytes:
    """Return the signature of sort key *key* for the list of the current request."""
    content = f"{request.url_rule}\0".encode() + key
    secret = _derive_signing_key(current_app.config["SECRET_KEY"])
    return hmac.digest(secret, content, "sha256")[:_SIGNATURE_BYTES]


@lru_cache(maxsize=8)
def _derive_signing_key(secret: str) -> bytes:
    return derive_key(secret, "cursor")
