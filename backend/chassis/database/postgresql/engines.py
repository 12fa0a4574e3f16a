"""SQLAlchemy engines for PostgreSQL: connection pool, timeouts, role and liveness checks."""

import socket
import ssl
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Dialect, Engine, NullPool, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InvalidatePoolError

from backend.chassis.database.postgresql.errors import hide_values, mark_disconnect
from backend.chassis.database.postgresql.roles import RoleResolver
from backend.chassis.database.postgresql.urls import parse_database_url

_STATEMENT_TIMEOUT_SECONDS = 30
_IDLE_IN_TRANSACTION_TIMEOUT_SECONDS = 300
_CONNECT_TIMEOUT_SECONDS = 5
# Longer than the statement timeout: the server ends a slow statement itself, so a longer silence
# means that the connection is dead.
_SOCKET_TIMEOUT_SECONDS = _STATEMENT_TIMEOUT_SECONDS + 10
_POOL_TIMEOUT_SECONDS = 5
# Error messages would contain the values to store, and end up in the log.
_HIDE_PARAMETERS = True
# Number of the type `timestamp with time zone` in the protocol (pg_type.oid).
_TIMESTAMPTZ = 1184


def _create_unverified_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


_UNVERIFIED_TLS = _create_unverified_tls()


def create_service_engine(url: URL, schema: str, owner: Engine) -> Engine:
    """Return the engine for a service's own queries.

    Args:
        url: the validated DATABASE_URL.
        schema: the service's schema.
        owner: the engine of `create_owner_engine`, used to look up the service's role.
    """
    parameters = parse_database_url(url)
    # The role is a startup parameter of the connection, so that RESET ROLE returns to it. If the
    # role does not exist, connecting fails.
    roles = RoleResolver(owner, schema)
    startup_parameters = {
        "search_path": schema,
        "statement_timeout": f"{_STATEMENT_TIMEOUT_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{_IDLE_IN_TRANSACTION_TIMEOUT_SECONDS}s",
    }
    engine = create_engine(
        parameters.url,
        pool_size=(parameters.connections + 1) // 2,
        max_overflow=parameters.connections // 2,
        pool_timeout=_POOL_TIMEOUT_SECONDS,
        connect_args=_build_arguments(parameters.arguments, schema),
        hide_parameters=_HIDE_PARAMETERS,
    )

    def set_role(_dialect: object, _record: object, _args: object, arguments: Any) -> None:
        arguments["startup_params"] = startup_parameters | roles.get_startup_parameters()

    driver_error = engine.dialect.loaded_dbapi.Error

    def ping(connection: DBAPIConnection, *_: object) -> None:
        try:
            engine.dialect.do_ping(connection)
        except (OSError, driver_error) as error:
            # The cause, such as a server restart, has ended the other pooled connections too.
            raise InvalidatePoolError from error

    event.listen(engine, "do_connect", set_role)
    # Replaces pool_pre_ping, which does not handle the OSErrors that this driver raises.
    event.listen(engine, "checkout", ping)
    _configure_connections(engine, _SOCKET_TIMEOUT_SECONDS)
    return engine


def create_owner_engine(url: URL, schema: str) -> Engine:
    """Return the engine of the tables' owner, for schema changes. It has no time limits."""
    parameters = parse_database_url(url)
    arguments = _build_arguments(parameters.arguments, schema)
    # If row-level security is forced on the owner, the owner must still see every row.
    arguments["startup_params"] = {"search_path": schema, "app.every_tenant": "on"}
    engine = create_engine(
        parameters.url,
        poolclass=NullPool,
        connect_args=arguments,
        hide_parameters=_HIDE_PARAMETERS,
    )
    _configure_connections(engine, None)
    return engine


def _build_arguments(arguments: dict[str, Any], schema: str) -> dict[str, Any]:
    """Return *arguments* with defaults: connect timeout, and the name in pg_stat_activity."""
    return {
        "timeout": _CONNECT_TIMEOUT_SECONDS,
        "application_name": f"ai-agent-system {schema}",
    } | arguments


def _configure_connections(engine: Engine, socket_timeout_seconds: float | None) -> None:
    driver_error = engine.dialect.loaded_dbapi.InterfaceError

    def connect(
        dialect: Dialect, _record: object, args: Any, arguments: dict[str, Any]
    ) -> DBAPIConnection | None:
        """Connect with TLS if the server supports it, unless *arguments* configure TLS.

        The driver does so too, but loads the system's CA certificates for each connection. That
        takes 30 ms of CPU time, and nothing is verified with them.
        """
        if arguments["ssl_context"] is not None:
            return None
        try:
            return dialect.connect(*args, **arguments | {"ssl_context": _UNVERIFIED_TLS})
        except driver_error as error:
            if "refuses SSL" not in str(error):
                raise
        return dialect.connect(*args, **arguments | {"ssl_context": False})

    def prepare(connection: Any, _record: object) -> None:
        peer = connection._usock
        # The driver uses its connect timeout for every later read too.
        peer.settimeout(socket_timeout_seconds)
        if peer.family != socket.AF_UNIX:
            # The driver writes long statements in parts. The kernel would hold back the last one
            # until the server has acknowledged the others, which it may delay by 40 ms.
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        driver_function = connection.pg_types[_TIMESTAMPTZ]
        connection.register_in_adapter(_TIMESTAMPTZ, partial(_read_time, driver_function))

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "connect", prepare)
    event.listen(engine, "handle_error", mark_disconnect)
    event.listen(engine, "handle_error", hide_values)


def _read_time(driver_function: Callable[[str], object], text: str) -> object:
    """Return the value of a `timestamp with time zone`.

    Args:
        driver_function: reads the times that Python does not have, such as `infinity`. It takes ten
            times as long for the others.
    """
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return driver_function(text)
