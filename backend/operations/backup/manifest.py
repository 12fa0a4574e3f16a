"""What stands in a backup's head, and whether this release can make something of it."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from backend.chassis.backup_archive import NotABackup
from backend.chassis.database.migrations import revisions
from backend.chassis.database.sessions import migrations_of, services_with_tables
from backend.operations.backup.schema_at_revision import Table, shapes

MAGIC = "ai-agent-system backup"
FORMAT = 1
_PART = re.compile(r"rows/([a-z0-9_]+)/([a-z0-9_]+)/\d{8}")


class Service(NamedTuple):
    """A service's rows in a backup: at which revision they were, and of which tables."""

    revision: str
    tables: Mapping[str, Table]


def part_name(service: str, table: str, number: int) -> str:
    return f"rows/{service}/{table}/{number:08}"


def contents_of(service: str, revision: str) -> dict[str, Any]:
    """What the head says of the rows of *service*."""
    tables = {
        table.name: [[column.name, column.kind] for column in table.columns]
        for table in shapes(service, revision)
    }
    return {"revision": revision, "tables": tables}


def understood(head: Mapping[str, Any]) -> dict[str, Service]:
    """The services of a backup by their names, or NotABackup with the reason."""
    if head.get("what") != MAGIC:
        raise NotABackup("This file is no backup.")
    release = str(head.get("release"))
    if head.get("format") != FORMAT:
        raise _newer(release)
    found = {}
    for service, about in head["services"].items():
        revision = about["revision"]
        if service not in services_with_tables():
            raise _newer(release)
        if revision not in revisions(migrations_of(service)):
            raise _newer(release)
        if about != contents_of(service, revision):
            raise NotABackup(f"This backup's tables of {service} are not those of {revision}.")
        tables = {table.name: table for table in shapes(service, revision)}
        found[service] = Service(revision, tables)
    return found


def table_of(services: Mapping[str, Service], member: str) -> tuple[str, Table] | None:
    """Whose rows are in *member*, and of which table; None if it holds no rows."""
    match = _PART.fullmatch(member)
    if match is None:
        return None
    service, table = match.groups()
    return service, services[service].tables[table]


def _newer(release: str) -> NotABackup:
    return NotABackup(
        f"This backup was made by release {release}, which is newer than this one or another. "
        "Nothing was changed. Install that release or a later one, and restore with it."
    )
