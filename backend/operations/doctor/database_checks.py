"""Checks of a service's tables: accessible, undamaged, and at the newest revision."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from backend.chassis.database import migrations, postgresql
from backend.chassis.database.migration_folders import get_migrations_folder, list_revisions
from backend.chassis.diagnostics import Finding, error, warning

# Checking a large file takes long. The check ends after this time without a result.
_INTEGRITY_CHECK_SECONDS = 15.0
# SQLite calls the handler that ends the check after this number of virtual machine instructions.
_INSTRUCTIONS_BETWEEN_CALLS = 20_000
_MAX_CLOCK_SKEW_SECONDS = 5.0
_CAN_CREATE_ROLES = "SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user"
_MIGRATE = "python -m backend migrate"


def check_tables(service: str, url: str) -> Iterator[Finding]:
    """Yield the problems of the tables of *service* in the database at *url*."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        yield from _check_postgresql(service, url)
    elif parsed.database and Path(parsed.database).exists():
        yield from _check_sqlite(service, Path(parsed.database))


def _check_sqlite(service: str, file: Path) -> Iterator[Finding]:
    if not os.access(file, os.R_OK | os.W_OK) or not os.access(file.parent, os.W_OK):
        yield error(
            service,
            f"This user cannot write {file}.",
            f"{service} can neither read nor store data.",
            f'sudo chown -R "$(id -un)" {file.parent}',
        )
        return
    try:
        with closing(
            sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)
        ) as connection:
            damage = _find_damage(connection)
    except sqlite3.DatabaseError as failure:
        damage = str(failure)
    if damage:
        yield error(
            service,
            f"{file} is damaged: {damage}.",
            "Part of its data is lost, and each change may lose more.",
            "./start_microservices.sh stop, then: python -m backend restore BACKUP --replace",
        )
        return
    with create_engine(f"sqlite:///{file}").connect() as engine_connection:
        yield from _check_revision(service, engine_connection)


def _find_damage(connection: sqlite3.Connection) -> str:
    """Return what SQLite's own check reports, or "" if it is undamaged or the check timed out."""
    deadline = time.monotonic() + _INTEGRITY_CHECK_SECONDS
    connection.set_progress_handler(
        lambda: time.monotonic() > deadline, _INSTRUCTIONS_BETWEEN_CALLS
    )
    try:
        results = [str(row[0]) for row in connection.execute("PRAGMA quick_check(1)")]
        if results != ["ok"]:
            return results[0].splitlines()[0]
        orphan = connection.execute("PRAGMA foreign_key_check").fetchone()
        return f"a row of {orphan[0]} references a missing row of {orphan[2]}" if orphan else ""
    except sqlite3.OperationalError as failure:
        if "interrupted" in str(failure):
            return ""
        raise


def _check_postgresql(service: str, url: str) -> Iterator[Finding]:
    parsed = make_url(url)
    owner = postgresql.create_owner_engine(parsed, service)
    try:
        with owner.connect() as connection:
            yield from _check_clock(connection)
            yield from _check_privileges(service, connection)
            yield from _check_revision(service, connection)
    except SQLAlchemyError as failure:
        explanation = postgresql.explain_connection_error(failure, parsed)
        yield error(
            service,
            explanation or f"A query of the database failed: {failure}".splitlines()[0],
            f"{service} can neither read nor store data.",
            "Start the database, or correct DATABASE_URL.",
        )


def _check_clock(connection: Connection) -> Iterator[Finding]:
    database_time = connection.scalar(text("SELECT clock_timestamp()"))
    skew = abs((datetime.now(UTC) - database_time).total_seconds()) if database_time else 0.0
    if skew > _MAX_CLOCK_SKEW_SECONDS:
        yield warning(
            "clock",
            f"The clocks of this host and of the database server differ by {skew:.0f} s.",
            "Tokens are valid too late or expire too early, and daily counts use different days.",
            "Synchronize both hosts with a time server: timedatectl set-ntp true",
        )


def _check_privileges(service: str, connection: Connection) -> Iterator[Finding]:
    if not (
        postgresql.has_schema_and_role(connection, service)
        or connection.scalar(text(_CAN_CREATE_ROLES))
    ):
        user = connection.engine.url.username
        yield warning(
            service,
            f"The database user {user} cannot create the role of {service}.",
            f"{service} connects as owner of its tables: an attacker could drop them.",
            f"psql -c 'ALTER ROLE \"{user}\" CREATEROLE', as an administrator; then start again",
        )


def _check_revision(service: str, connection: Connection) -> Iterator[Finding]:
    known = list_revisions(get_migrations_folder(service))
    revision = migrations.get_current_revision(connection, service)
    if revision is not None and revision not in known:
        yield error(
            service,
            f"Its tables are at revision {revision}, which a newer release created.",
            "This release cannot read them and does not start.",
            "Run the newer release, or undo its migration: docs/operations/upgrade.md",
        )
    elif revision is not None and revision != known[-1]:
        yield warning(
            service,
            f"Its tables are at revision {revision}; the newest is {known[-1]}.",
            "The next start migrates them. Until then only the previous release can run.",
            _MIGRATE,
        )
