"""Database errors that a caller can respond to: another writer is busy, or the storage is full."""

import errno
import sqlite3
from typing import Literal

from sqlalchemy.exc import DBAPIError

from backend.chassis.database.postgresql import get_sqlstate, is_unavailable

DatabaseFailure = Literal["busy", "storage_full", "unavailable"]

# https://www.sqlite.org/rescode.html. The low byte of an extended code is its primary code.
_SQLITE_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_SQLITE_PRIMARY_CODE = 0xFF
# SQLSTATE codes: serialization failure, deadlock, lock not available; disk full.
_POSTGRESQL_BUSY = {"40001", "40P01", "55P03"}
_POSTGRESQL_DISK_FULL = "53100"
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


def classify_error(error: BaseException) -> DatabaseFailure | None:
    """Return what prevents the database or the file system from completing a request.

    Returns None for other errors, such as violated constraints.
    """
    if isinstance(error, OSError) and not isinstance(error, ConnectionError):
        return "storage_full" if error.errno in _DISK_FULL else None
    cause = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlite_errorcode", None)
    if code is not None:
        return _classify_sqlite_code(code & _SQLITE_PRIMARY_CODE)
    state = get_sqlstate(error)
    if state in _POSTGRESQL_BUSY:
        return "busy"
    if state == _POSTGRESQL_DISK_FULL:
        return "storage_full"
    return "unavailable" if is_unavailable(error) else None


def _classify_sqlite_code(code: int) -> DatabaseFailure | None:
    if code in _SQLITE_BUSY:
        return "busy"
    return "storage_full" if code == sqlite3.SQLITE_FULL else None
