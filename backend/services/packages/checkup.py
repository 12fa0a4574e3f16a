"""Checks that `doctor` runs for packages: failed webhooks, and webhooks that wait."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from backend.chassis.database.sessions import open_database
from backend.chassis.diagnostics import Finding, warning
from backend.services.packages.settings import Settings
from backend.services.packages.store import webhooks

_STALLED_AFTER = timedelta(minutes=10)


def run_checks(settings: Settings, *, tables_ok: bool, running: bool) -> Iterator[Finding]:
    """Yield the problems of the packages service.

    Args:
        tables_ok: True if the checks of the tables found no problem.
        running: True if the services run on this host.
    """
    if not tables_ok or not _has_tables(settings):
        return
    database = open_database(settings.database_url, "packages").across_tenants()
    with database.read() as session:
        failed = webhooks.count_deliveries(session, "failed")
        waiting = webhooks.count_deliveries(
            session, "received", before=datetime.now(UTC) - _STALLED_AFTER
        )
    database.engine.dispose()
    if failed:
        yield warning(
            "packages",
            f"{failed} webhooks of tracking providers could not be processed.",
            "Their bodies are stored, but their events are missing in the packages.",
            "List them with GET /packages/webhook-accounts/ID/deliveries?state=failed, and process "
            "them again with POST …/deliveries/ID/replay.",
        )
    if waiting and running:
        yield warning(
            "packages",
            f"{waiting} webhooks have waited for more than ten minutes.",
            "Their events are missing in the packages.",
            "Read the log of the packages service.",
        )


def _has_tables(settings: Settings) -> bool:
    """Return whether the database exists, without creating a missing SQLite file."""
    database = settings.common.data_dir / "packages.db"
    return not settings.database_url.startswith("sqlite") or database.exists()
