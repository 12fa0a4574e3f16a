"""What PostgreSQL and the way there may refuse, and what an operator does then."""

import ssl

from sqlalchemy.engine import URL, ExceptionContext
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout

NOT_ALLOWED = "42501"
# Ended by an administrator, by a crash, not up yet, idle within a transaction for too long.
_HUNG_UP = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "08006", "08003"})
_FULL = "53300"
_STARTING = "57P03"
_ADVICE = {
    "28P01": "{place} knows another password of {user}: correct it in DATABASE_URL.",
    "28000": "{place} does not let {user} in: look at the name in DATABASE_URL and at pg_hba.conf.",
    "3D000": "{place} has no database {database}. Make it as an administrator: "
    "CREATE DATABASE {database} OWNER {user};",
    NOT_ALLOWED: "{user} may not make schemas in {database}. Let it, as an administrator: "
    "GRANT CREATE ON DATABASE {database} TO {user};",
    _FULL: "{place} has no connection left: raise its max_connections, or lower "
    "DATABASE_CONNECTIONS.",
    _STARTING: "{place} is starting or going down: start again when it answers.",
}


def sqlstate(error: BaseException) -> str | None:
    """PostgreSQL's own number for what it refused."""
    answer = getattr(error, "orig", error)
    told = answer.args[0] if answer is not None and answer.args else None
    return told.get("C") if isinstance(told, dict) else None


def notice_hanging_up(context: ExceptionContext) -> None:
    """Let the pool replace a connection that the server has ended with a word."""
    error = context.original_exception
    if isinstance(error, OSError) or sqlstate(error) in _HUNG_UP:
        context.is_disconnect = True


def is_away(error: BaseException) -> bool:
    """Whether the server could not be reached or had no room: later, the same may do."""
    if isinstance(error, DBAPIError):
        return (
            error.connection_invalidated
            or isinstance(error, InterfaceError)
            or sqlstate(error) in _HUNG_UP | {_FULL}
        )
    return isinstance(error, PoolTimeout | OSError)


def trouble(error: BaseException, url: URL) -> str | None:
    """What is wrong with the way to *url*, in a sentence that says what to do; no secret in it."""
    place = f"PostgreSQL at {url.host}:{url.port or 5432}" if url.host else "PostgreSQL"
    advice = _ADVICE.get(sqlstate(error) or "")
    if advice is not None:
        database = url.database or url.username
        return advice.format(place=place, user=url.username, database=database)
    if "refuses SSL" in str(error):
        return f"{place} speaks no TLS: turn it on there, or drop sslmode from DATABASE_URL."
    cause = _of_the_network(error)
    if isinstance(cause, ssl.SSLError):
        return f"TLS to {place} failed ({cause}): look at sslmode and sslrootcert in DATABASE_URL."
    if cause is not None or isinstance(error, InterfaceError):
        why = cause or "no connection"
        return f"{place} does not answer ({why}): look at DATABASE_URL, and whether it runs."
    return None


def _of_the_network(error: BaseException | None) -> OSError | None:
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error
