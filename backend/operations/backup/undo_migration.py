"""Undo the last migration of a service with the copy made before it; current tables are kept."""

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from backend.chassis.console import CommandError, format_table, print_line
from backend.chassis.database import migrations, postgresql
from backend.operations.backup.format import row_transfer
from backend.operations.backup.format.schema_at_revision import get_tables
from backend.operations.backup.installation import (
    Installation,
    connect_as_owner,
    get_revision,
    get_sqlite_file,
    set_search_path,
)
from backend.operations.backup.restore_targets import check_databases_unused, create_empty_tables
from backend.operations.supervisor.state import sole_supervisor


def main(installation: Installation, service: str | None) -> int:
    """Undo the last migration of *service*, or list all copies if *service* is None.

    Returns:
        The exit code.
    """
    copies = dict(_find_copies(installation))
    if service is None:
        rows = [(name, *copy) for name, copy in copies.items()]
        print_line(
            format_table(("service", "revision", "copy"), rows) if rows else "There are no copies."
        )
        return 0
    if service not in copies:
        raise CommandError(
            f"There is no copy of {service} from before its last migration. "
            "Restore a backup: python -m backend restore FILE --replace"
        )
    revision, copy = copies[service]
    with sole_supervisor(installation.data):
        check_databases_unused(installation, [service])
        file = get_sqlite_file(installation.urls[service])
        if file is None:
            previous = _swap_schemas(installation.urls[service], service, revision, copy)
        else:
            previous = _swap_files(file, file.with_name(copy), revision)
    print_line(
        f"The tables of {service} are now the copy from before revision {revision}. The previous "
        f"tables are kept in {previous}. Start the release that matches the copy. This release "
        "would migrate it again."
    )
    return 0


def _find_copies(installation: Installation) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield each service with a copy from before its current revision: (revision, copy name)."""
    for service, url in installation.urls.items():
        file = get_sqlite_file(url)
        if file is not None and not file.is_file():
            continue
        with connect_as_owner(url, service) as connection:
            revision = get_revision(connection, service)
            if revision is None:
                continue
            if file is None:
                copy = migrations.get_copy_schema_name(service, revision)
                exists = copy in inspect(connection).get_schema_names()
            else:
                copy = migrations.get_copy_path(file, revision).name
                exists = file.with_name(copy).is_file()
        if exists:
            yield service, (revision, copy)


def _swap_files(file: Path, copy: Path, revision: str) -> str:
    previous = file.with_name(f"{file.name}.undone-{revision}")
    # A database that was not closed includes its write-ahead log and shared memory file.
    for suffix in ("-wal", "-shm", ""):
        source = file.with_name(file.name + suffix)
        if source.exists():
            source.replace(previous.with_name(previous.name + suffix))
    copy.rename(file)
    return previous.name


def _swap_schemas(url: str, service: str, revision: str, copy: str) -> str:
    previous = f"{service}_undone_{revision}"
    with connect_as_owner(url, service) as connection, connection.begin():
        copy_revision = str(
            connection.scalar(
                text(f'SELECT version_num FROM "{copy}"."alembic_version_{service}"')  # noqa: S608
            )
        )
        connection.execute(text(f'DROP SCHEMA IF EXISTS "{previous}" CASCADE'))
        connection.execute(text(f'ALTER SCHEMA "{service}" RENAME TO "{previous}"'))
        with postgresql.as_owner(connection, service):
            set_search_path(connection, service)
            create_empty_tables(connection, service, copy_revision)
            _copy_rows(connection, service, copy_revision, copy)
        connection.execute(text(f'DROP SCHEMA "{copy}" CASCADE'))
    return f"schema {previous}"


def _copy_rows(connection: Connection, service: str, revision: str, copy: str) -> None:
    tables = get_tables(service, revision)
    for table in tables:
        names = ", ".join(f'"{column.name}"' for column in table.columns)
        connection.execute(
            text(
                f'INSERT INTO "{table.name}" ({names}) '  # noqa: S608
                f'SELECT {names} FROM "{copy}"."{table.name}"'
            )
        )
    row_transfer.reset_sequences(connection, tables)
