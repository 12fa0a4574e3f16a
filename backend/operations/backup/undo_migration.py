"""Back to what a service's tables were before their last migration; what they are is set aside."""

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from backend.chassis.console import CannotRun, say, table
from backend.chassis.database import migrations, postgresql
from backend.operations.backup import row_transfer
from backend.operations.backup.installation import (
    Installation,
    connected,
    enter,
    revision_in,
    sqlite_file,
)
from backend.operations.backup.restore_targets import make_empty, refuse_in_use
from backend.operations.backup.schema_at_revision import shapes
from backend.operations.supervisor.state import sole_supervisor


def main(installation: Installation, service: str | None) -> int:
    """Go back with *service*; without one, show what copies there are."""
    copies = dict(_copies(installation))
    if service is None:
        lines = [(name, *about) for name, about in copies.items()]
        say(table(("service", "now at", "copy"), lines) if lines else "There are no copies.")
        return 0
    if service not in copies:
        raise CannotRun(
            f"There is no copy of what {service} had before its last migration. "
            "Restore a backup: python -m backend restore FILE --replace"
        )
    revision, copy = copies[service]
    with sole_supervisor(installation.data):
        refuse_in_use(installation, [service])
        file = sqlite_file(installation.urls[service])
        if file is None:
            aside = _go_back(installation.urls[service], service, revision, copy)
        else:
            aside = _change_files(file, file.with_name(copy), revision)
    say(
        f"The tables of {service} are as they were before {revision}; what they were until now is "
        f"in {aside}. Start the release that goes with them: this one would migrate them again."
    )
    return 0


def _copies(installation: Installation) -> Iterator[tuple[str, tuple[str, str]]]:
    """Of each service that has a copy from before where it is now: that revision, and the copy."""
    for service, url in installation.urls.items():
        file = sqlite_file(url)
        if file is not None and not file.is_file():
            continue
        with connected(url, service) as connection:
            revision = revision_in(connection, service)
            if revision is None:
                continue
            if file is None:
                copy = migrations.copy_schema(service, revision)
                is_there = copy in inspect(connection).get_schema_names()
            else:
                copy = migrations.copy_file(file, revision).name
                is_there = file.with_name(copy).is_file()
        if is_there:
            yield service, (revision, copy)


def _change_files(file: Path, copy: Path, revision: str) -> str:
    aside = file.with_name(f"{file.name}.undone-{revision}")
    # What stands beside a file that was not closed belongs to it.
    for suffix in ("-wal", "-shm", ""):
        beside = file.with_name(file.name + suffix)
        if beside.exists():
            beside.replace(aside.with_name(aside.name + suffix))
    copy.rename(file)
    return aside.name


def _go_back(url: str, service: str, revision: str, copy: str) -> str:
    aside = f"{service}_undone_{revision}"
    with connected(url, service) as connection, connection.begin():
        before = str(
            connection.scalar(
                text(f'SELECT version_num FROM "{copy}"."alembic_version_{service}"')  # noqa: S608
            )
        )
        connection.execute(text(f'DROP SCHEMA IF EXISTS "{aside}" CASCADE'))
        connection.execute(text(f'ALTER SCHEMA "{service}" RENAME TO "{aside}"'))
        with postgresql.as_owner(connection, service):
            enter(connection, service)
            make_empty(connection, service, before)
            _fill(connection, service, before, copy)
        connection.execute(text(f'DROP SCHEMA "{copy}" CASCADE'))
    return f"schema {aside}"


def _fill(connection: Connection, service: str, revision: str, copy: str) -> None:
    tables = shapes(service, revision)
    for each in tables:
        names = ", ".join(f'"{column.name}"' for column in each.columns)
        connection.execute(
            text(
                f'INSERT INTO "{each.name}" ({names}) '  # noqa: S608
                f'SELECT {names} FROM "{copy}"."{each.name}"'
            )
        )
    row_transfer.go_on_counting(connection, tables)
