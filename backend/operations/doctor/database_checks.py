"""Whether a service's tables are there, whole, writable, and at the newest migration."""

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
from backend.chassis.database.sessions import migrations_of
from backend.chassis.diagnostics import Finding, error, warning

# Reading a large file through takes long: what has not shown by then is left alone.
_READING_SECONDS = 15.0
_STEPS_BETWEEN_LOOKS = 20_000
_MOST_SKEW_SECONDS = 5.0
_MIGRATE = "python -m backend migrate"


def look_at_tables(service: str, url: str) -> Iterator[Finding]:
    """All that is wrong with the tables of *service* at *url*."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        yield from _postgresql(service, url)
    elif parsed.database and Path(parsed.database).exists():
        yield from _sqlite(service, Path(parsed.database))


def _sqlite(service: str, file: Path) -> Iterator[Finding]:
    if not os.access(file, os.R_OK | os.W_OK) or not os.access(file.parent, os.W_OK):
        yield error(
            service,
            f"{file} can't be written by this user.",
            f"{service} can read nothing and keep nothing.",
            f'sudo chown -R "$(id -un)" {file.parent}',
        )
        return
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as opened:
            wrong = _damage(opened)
    except sqlite3.DatabaseError as trouble:
        wrong = str(trouble)
    if wrong:
        yield error(
            service,
            f"{file} is damaged: {wrong}.",
            "What stands in it is lost in part, and more with each change.",
            "./start_microservices.sh stop, then: python -m backend restore BACKUP --replace",
        )
        return
    with create_engine(f"sqlite:///{file}").connect() as connection:
        yield from _revision(service, connection)


def _damage(opened: sqlite3.Connection) -> str:
    """What SQLite's own check says against the file; nothing if it was not done in time."""
    until = time.monotonic() + _READING_SECONDS
    opened.set_progress_handler(lambda: time.monotonic() > until, _STEPS_BETWEEN_LOOKS)
    try:
        said = [str(row[0]) for row in opened.execute("PRAGMA quick_check(1)")]
        if said != ["ok"]:
            return said[0].splitlines()[0]
        orphan = opened.execute("PRAGMA foreign_key_check").fetchone()
        return f"a row of {orphan[0]} belongs to none of {orphan[2]}" if orphan else ""
    except sqlite3.OperationalError as trouble:
        if "interrupted" in str(trouble):
            return ""
        raise


def _postgresql(service: str, url: str) -> Iterator[Finding]:
    parsed = make_url(url)
    owner = postgresql.open_owner(parsed, service)
    try:
        with owner.connect() as connection:
            yield from _clock(connection)
            yield from _rights(service, connection)
            yield from _revision(service, connection)
    except SQLAlchemyError as trouble:
        what = postgresql.trouble(trouble, parsed)
        yield error(
            service,
            what or f"The database does not do what is asked: {trouble}".splitlines()[0],
            f"{service} can read nothing and keep nothing.",
            "Start it, or correct DATABASE_URL.",
        )


def _clock(connection: Connection) -> Iterator[Finding]:
    theirs = connection.scalar(text("SELECT clock_timestamp()"))
    skew = abs((datetime.now(UTC) - theirs).total_seconds()) if theirs else 0.0
    if skew > _MOST_SKEW_SECONDS:
        yield warning(
            "clock",
            f"The clocks of this host and of the database are {skew:.0f} s apart.",
            "Tokens begin too late or end too early, and days are counted apart.",
            "Let both hosts follow a time server: timedatectl set-ntp true",
        )


def _rights(service: str, connection: Connection) -> Iterator[Finding]:
    may_make = "SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user"
    if not (postgresql.is_settled(connection, service) or connection.scalar(text(may_make))):
        user = connection.engine.url.username
        yield warning(
            service,
            f"{user} may not make the role that {service} works under.",
            f"{service} works as the owner of its tables, who could drop them.",
            f"psql -c 'ALTER ROLE \"{user}\" CREATEROLE', as an administrator; then start again",
        )


def _revision(service: str, connection: Connection) -> Iterator[Finding]:
    known = migrations.revisions(migrations_of(service))
    at = migrations.revision_of(connection, service)
    if at is not None and at not in known:
        yield error(
            service,
            f"Its tables are at {at}, which a newer release made.",
            "This release does not know what is in them, and does not start.",
            "Run that release, or go back: docs/operations/upgrade.md",
        )
    elif at is not None and at != known[-1]:
        yield warning(
            service,
            f"Its tables are at {at}; the newest is {known[-1]}.",
            "The next start brings them up to date; until then the code before it must run.",
            _MIGRATE,
        )
