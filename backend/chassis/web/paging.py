"""Lists that are read page by page: `?limit=` and `?cursor=`, answered with `next_cursor`."""

import base64
import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, TypeVar

from pydantic import AwareDatetime, BeforeValidator, Field

from backend.security import Input, invalid_field

T = TypeVar("T")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]", re.ASCII)


def _written_out(given: object) -> object:
    # A bare number would pass for seconds since 1970.
    if isinstance(given, str) and not _DAY.match(given):
        raise ValueError("Write a time as RFC 3339 does, such as 2030-01-31T12:00:00Z.")
    return given


Moment = Annotated[AwareDatetime, BeforeValidator(_written_out)]
"""A time with its zone, in a query string."""
MAX_LIMIT = 200


class PageQuery(Input):
    """The query string of a list."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = 50
    cursor: Annotated[str, Field(max_length=512)] | None = None

    def after(self) -> tuple[str, ...] | None:
        """The sort key to go on behind, or None at the start; 422 for a made-up cursor."""
        if self.cursor is None:
            return None
        try:
            padded = self.cursor + "=" * (-len(self.cursor) % 4)
            key = json.loads(base64.urlsafe_b64decode(padded.encode("ascii")))
        except (ValueError, RecursionError):
            key = None
        if not isinstance(key, list) or not all(isinstance(part, str) for part in key):
            raise invalid_field("#/cursor", "Use the next_cursor of the page before.")
        return tuple(key)

    def after_moment(self) -> tuple[datetime, str] | None:
        """The same where rows are sorted by a moment, then by id."""
        match self.after():
            case None:
                return None
            case (moment, row_id):
                try:
                    return datetime.fromisoformat(moment).astimezone(UTC), row_id
                except (ValueError, OverflowError):
                    pass
        raise invalid_field("#/cursor", "Use the next_cursor of the page before.")


def cut_page(
    found: Sequence[T], limit: int, key: Callable[[T], Sequence[str]]
) -> tuple[Sequence[T], str | None]:
    """The page out of *limit* + 1 *found* rows, and the cursor of the next one, if any."""
    if len(found) <= limit:
        return found, None
    page = found[:limit]
    raw = json.dumps(list(key(page[-1])), separators=(",", ":")).encode()
    return page, base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
