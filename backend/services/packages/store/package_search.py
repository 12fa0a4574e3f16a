"""Search of packages by the beginnings of words. The caller owns the transaction.

On SQLite an FTS5 index of all tenants is searched. On PostgreSQL row-level security keeps queries
from using an index of words, because its operator may reveal rows: the function
`packages_find_rows` (migration 0012) returns rows of the session's tenant. Words consist of letters
and digits only (domain/search_words.py), so that no operator can be in them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import BigInteger, ColumnElement, Function, func, literal, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from backend.services.packages.store.tables import PackageRow

MAX_ROW: Final = 2**62
_ROWID = sa.column("rowid", sa.Integer)
_HIT_COUNT: Final = sa.text(
    "SELECT count(*) FROM (SELECT rowid FROM package_words WHERE package_words MATCH :words "
    "LIMIT :count)"
)
_IS_HIT: Final = sa.text(
    "EXISTS (SELECT 1 FROM package_words WHERE package_words MATCH :words AND rowid = packages.row)"
)
_HIT_ROWS: Final = sa.text(
    "SELECT rowid FROM package_words WHERE package_words MATCH :words "
    "AND rowid BETWEEN :low AND :high"
)
# By whether the newest come first: the number of hits, the lowest row and the highest.
_HIT_BOUNDS: Final = {
    descending: sa.text(
        "SELECT count(*), min(rowid), max(rowid) FROM (SELECT rowid FROM package_words "  # noqa: S608
        "WHERE package_words MATCH :words AND rowid BETWEEN :low AND :high "
        f"ORDER BY rowid {order} LIMIT :count)"
    )
    for descending, order in ((True, "DESC"), (False, "ASC"))
}


@dataclass(frozen=True, slots=True)
class Hits:
    """Packages that contain the words of a query.

    Attributes:
        condition: selects them in a query of packages.
    """

    count: int
    lowest_row: int
    highest_row: int
    condition: ColumnElement[bool]


def find_hits(
    session: Session, words: Sequence[str], low: int, high: int, limit: int, *, newest_first: bool
) -> Hits | None:
    """Return up to *limit* hits in the rows *low* to *high*, or None if there are none.

    Args:
        newest_first: select the highest rows, else the lowest.
    """
    if _is_postgresql(session):
        call = _call_function(words, low, high, limit, newest_first=newest_first)
        rows = session.scalars(select(call)).all()
        if not rows:
            return None
        numbers = literal(list(rows), postgresql.ARRAY(BigInteger))
        return Hits(len(rows), min(rows), max(rows), PackageRow.row == func.any(numbers))
    match = _build_match(words)
    values = {"words": match, "low": low, "high": high, "count": limit}
    count, first, last = session.execute(_HIT_BOUNDS[newest_first], values).one()
    if not count:
        return None
    return Hits(count, first, last, _is_in_range(match, first, last))


def count_hits(session: Session, words: Sequence[str], limit: int) -> int:
    """Return the number of hits, at most *limit*. On SQLite, those of all tenants count."""
    if _is_postgresql(session):
        rows = select(_call_function(words, limit=limit)).subquery()
        return session.scalar(select(func.count()).select_from(rows)) or 0
    values = {"words": _build_match(words), "count": limit}
    return session.scalar(_HIT_COUNT, values) or 0


def is_in_index(session: Session, words: Sequence[str]) -> ColumnElement[bool]:
    """Return the condition that the index finds the package: all hits are read."""
    if _is_postgresql(session):
        return PackageRow.row.in_(select(_call_function(words)))
    return _is_in_range(_build_match(words), 0, MAX_ROW)


def contains_words(session: Session, words: Sequence[str]) -> ColumnElement[bool]:
    """Return the condition that a package contains the words: each package is checked."""
    if _is_postgresql(session):
        padded = literal(" ").concat(PackageRow.words)
        return sa.and_(*(func.strpos(padded, f" {word}") > 0 for word in words))
    return sa.type_coerce(_IS_HIT.bindparams(words=_build_match(words)), sa.Boolean)


def _call_function(
    words: Sequence[str],
    low: int = 0,
    high: int = MAX_ROW,
    limit: int | None = None,
    *,
    newest_first: bool = True,
) -> Function[Any]:
    return func.packages_find_rows(
        literal(list(words), postgresql.ARRAY(sa.Text)),
        low,
        high,
        limit,
        newest_first,
        type_=BigInteger(),
    )


def _is_in_range(match: str, low: int, high: int) -> ColumnElement[bool]:
    rows = _HIT_ROWS.bindparams(words=match, low=low, high=high)
    return PackageRow.row.in_(rows.columns(_ROWID))


def _build_match(words: Sequence[str]) -> str:
    return " ".join(f'"{word}"*' for word in words)


def _is_postgresql(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"
