"""The manifest of a backup (backup.json): create it, and check that this release can restore it."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from backend.chassis.database.migration_folders import (
    get_migrations_folder,
    list_revisions,
    list_services_with_tables,
)
from backend.operations.backup.format.archive import NotABackup
from backend.operations.backup.format.schema_at_revision import Table, get_tables

MAGIC = "ai-agent-system backup"
FORMAT = 1
_ROWS_MEMBER = re.compile(r"rows/([a-z0-9_]+)/([a-z0-9_]+)/\d{8}")


class ServiceManifest(NamedTuple):
    """Alembic revision and tables, by name, of a service in a backup."""

    revision: str
    tables: Mapping[str, Table]


def build_part_name(service: str, table: str, number: int) -> str:
    return f"rows/{service}/{table}/{number:08}"


def describe_service(service: str, revision: str) -> dict[str, Any]:
    """Return the manifest's entry for *service*: its revision and its tables with their columns."""
    tables = {
        table.name: [[column.name, column.kind] for column in table.columns]
        for table in get_tables(service, revision)
    }
    return {"revision": revision, "tables": tables}


def parse_manifest(manifest: Mapping[str, Any]) -> dict[str, ServiceManifest]:
    """Return the services in a backup by name.

    Raises:
        NotABackup: the manifest does not describe a backup, or its release is unknown.
    """
    if manifest.get("what") != MAGIC:
        raise NotABackup("This file is not a backup.")
    release = str(manifest.get("release"))
    if manifest.get("format") != FORMAT:
        raise _unknown_release_error(release)
    services = {}
    for service, entry in manifest["services"].items():
        revision = entry["revision"]
        if service not in list_services_with_tables():
            raise _unknown_release_error(release)
        if revision not in list_revisions(get_migrations_folder(service)):
            raise _unknown_release_error(release)
        if entry != describe_service(service, revision):
            raise NotABackup(
                f"The tables of {service} in this backup do not match revision {revision}."
            )
        tables = {table.name: table for table in get_tables(service, revision)}
        services[service] = ServiceManifest(revision, tables)
    return services


def find_table(services: Mapping[str, ServiceManifest], member: str) -> tuple[str, Table] | None:
    """Return the service and table whose rows *member* contains, or None if it contains no rows."""
    match = _ROWS_MEMBER.fullmatch(member)
    if match is None:
        return None
    service, table = match.groups()
    return service, services[service].tables[table]


def _unknown_release_error(release: str) -> NotABackup:
    return NotABackup(
        f"This backup was made by release {release}, which is newer than this one or unknown. "
        "Nothing was changed. Install that release or a later one and restore with it."
    )
