"""PostgreSQL errors: which ones are temporary, what an operator can do, and what is logged."""

import ssl

from sqlalchemy.engine import URL, ExceptionContext
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

# SQLSTATE codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
INSUFFICIENT_PRIVILEGE = "42501"
_TOO_MANY_CONNECTIONS = "53300"
_CANNOT_CONNECT_NOW = "57P03"
# Shutdown by an administrator, crash, not started yet, idle in a transaction for too long,
# connection failures.
_DISCONNECTED = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "08006", "08003"})
_EXPLANATIONS = {
    "28P01": "{server} rejects the password of {user}. Correct it in DATABASE_URL.",
    "28000": "{server} does not let {user} connect. Check the user name in DATABASE_URL and "
    "pg_hba.conf.",
    "3D000": "{server} has no database {database}. Create it as an administrator: "
    "CREATE DATABASE {database} OWNER {user};",
    INSUFFICIENT_PRIVILEGE: "{user} may not create schemas in {database}. Grant it as an "
    "administrator: GRANT CREATE ON DATABASE {database} TO {user};",
    _TOO_MANY_CONNECTIONS: "{server} has no free connection. Raise its max_connections, or lower "
    "DATABASE_CONNECTIONS.",
    _CANNOT_CONNECT_NOW: "{server} is starting or shutting down. Start again when it is available.",
}


def get_sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE code of a PostgreSQL error, or None for another error."""
    cause = getattr(error, "orig", error)
    fields = cause.args[0] if cause is not None and cause.args else None
    return fields.get("C") if isinstance(fields, dict) else None


def mark_disconnect(context: ExceptionContext) -> None:
    """Make the pool replace a connection that the server has closed. SQLAlchemy event handler."""
    error = context.original_exception
    if isinstance(error, OSError) or get_sqlstate(error) in _DISCONNECTED:
        context.is_disconnect = True


def hide_values(context: ExceptionContext) -> None:
    """Remove stored values from the message of an error. SQLAlchemy event handler.

    The server adds them as details, such as the row that violates a constraint, and as context. In
    data exceptions (class 22), they follow a colon.
    """
    error, wrapper = context.original_exception, context.sqlalchemy_exception
    fields = error.args[0] if error.args else None
    if not isinstance(fields, dict) or wrapper is None:
        return
    for name in ("D", "W", "q"):  # detail, context, internal query
        fields.pop(name, None)
    if fields.get("C", "").startswith("22"):
        fields["M"] = fields.get("M", "").partition(":")[0]
    kind = type(error)
    wrapper.args = (f"({kind.__module__}.{kind.__name__}) {error}", *wrapper.args[1:])


def is_unavailable(error: BaseException) -> bool:
    """Return True if the server is unreachable or has no free connection, so a retry may help."""
    if isinstance(error, DBAPIError):
        return (
            error.connection_invalidated
            or isinstance(error, InterfaceError)
            or get_sqlstate(error) in _DISCONNECTED | {_TOO_MANY_CONNECTIONS}
        )
    return isinstance(error, PoolTimeoutError | OSError)


def explain_connection_error(error: BaseException, url: URL) -> str | None:
    """Return why *url* cannot be used and how to fix it, without secrets.

    Returns None for errors that have nothing to do with the connection.
    """
    server = f"PostgreSQL at {url.host}:{url.port or 5432}" if url.host else "PostgreSQL"
    explanation = _EXPLANATIONS.get(get_sqlstate(error) or "")
    if explanation is not None:
        database = url.database or url.username
        return explanation.format(server=server, user=url.username, database=database)
    if "refuses SSL" in str(error):
        return (
            f"{server} does not support TLS. Enable it there, or remove sslmode from DATABASE_URL."
        )
    cause = _find_network_error(error)
    if isinstance(cause, ssl.SSLError):
        return f"TLS to {server} failed ({cause}). Check sslmode and sslrootcert in DATABASE_URL."
    if cause is not None or isinstance(error, InterfaceError):
        reason = cause or "no connection"
        return f"{server} does not respond ({reason}). Check DATABASE_URL and that the server runs."
    return None


def _find_network_error(error: BaseException | None) -> OSError | None:
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error
