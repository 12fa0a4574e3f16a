"""How a PostgreSQL server is reached: connections, how many, and what ends those that hang."""

from typing import Any

from sqlalchemy import Engine, NullPool, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InvalidatePoolError

from backend.chassis.database.postgresql.faults import notice_hanging_up
from backend.chassis.database.postgresql.roles import WorkingRole
from backend.chassis.database.postgresql.urls import read_url

_STATEMENT_SECONDS = 30
_IDLE_IN_TRANSACTION_SECONDS = 300
_CONNECT_SECONDS = 5
# The server ends a statement first, so that what is longer than this is silence.
_SILENT_SECONDS = _STATEMENT_SECONDS + 10
_POOL_SECONDS = 5


def open_engine(url: URL, schema: str, owner: Engine) -> Engine:
    """For a service's own work."""
    place = read_url(url)
    # The role is part of how the connection is made, so that RESET ROLE leads back to
    # it; where the role is not there, there is no connection.
    role = WorkingRole(owner, schema)
    told = {
        "search_path": schema,
        "statement_timeout": f"{_STATEMENT_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{_IDLE_IN_TRANSACTION_SECONDS}s",
    }
    engine = create_engine(
        place.url,
        pool_size=(place.connections + 1) // 2,
        max_overflow=place.connections // 2,
        pool_timeout=_POOL_SECONDS,
        connect_args=_named(place.arguments, schema),
        # An error that says what was to be stored would say it in the log.
        hide_parameters=True,
    )

    def work_under_role(_dialect: object, _record: object, _args: object, named: Any) -> None:
        named["startup_params"] = told | role.parameters()

    refused = engine.dialect.loaded_dbapi.Error

    def ask_whether_it_lives(connection: DBAPIConnection, *_: object) -> None:
        try:
            engine.dialect.do_ping(connection)
        except (OSError, refused) as error:
            # Whoever ended this one has ended the others too.
            raise InvalidatePoolError from error

    event.listen(engine, "do_connect", work_under_role)
    # In place of pool_pre_ping, which lets through what the driver lets through of the socket.
    event.listen(engine, "checkout", ask_whether_it_lives)
    _watch(engine, _SILENT_SECONDS)
    return engine


def open_owner(url: URL, schema: str) -> Engine:
    """For what the tables' owner alone may do, which may take long."""
    place = read_url(url)
    arguments = _named(place.arguments, schema)
    # Where row-level security is forced upon the owner, the owner goes on seeing every row.
    arguments["startup_params"] = {"search_path": schema, "app.every_tenant": "on"}
    engine = create_engine(place.url, poolclass=NullPool, connect_args=arguments)
    _watch(engine, None)
    return engine


def _named(arguments: dict[str, Any], schema: str) -> dict[str, Any]:
    """What the server shows in pg_stat_activity, and how long it may take to let us in."""
    return {
        "timeout": _CONNECT_SECONDS,
        "application_name": f"ai-agent-system {schema}",
    } | arguments


def _watch(engine: Engine, silent_seconds: float | None) -> None:
    def be_patient(connection: Any, _record: object) -> None:
        # The driver has one time limit for connecting and for every answer after that.
        connection._usock.settimeout(silent_seconds)

    event.listen(engine, "connect", be_patient)
    event.listen(engine, "handle_error", notice_hanging_up)
