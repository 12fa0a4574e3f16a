"""Checks that `doctor` runs for chat."""

from collections.abc import Iterator

from backend.chassis.data_encryption.checks import check_encryption
from backend.chassis.diagnostics import Finding, warning
from backend.services.chat.sealed_data import describe_sealed_data
from backend.services.chat.settings import Settings


def run_checks(settings: Settings, *, tables_ok: bool, running: bool) -> Iterator[Finding]:
    """Yield the problems of the chat service."""
    del running
    for name in settings.mongodb_variables:
        yield warning(
            "chat",
            f"{name} is set, but the suite does not use MongoDB.",
            "Conversations and messages are stored in DATABASE_URL, or in chat.db in DATA_DIR. "
            "Nothing is read from or written to MongoDB.",
            f"Remove {name}.",
        )
    file = settings.common.data_dir / "chat.db"
    if tables_ok and (not settings.database_url.startswith("sqlite") or file.exists()):
        yield from check_encryption(describe_sealed_data(settings))
