"""Location of the services' Alembic migrations."""

import importlib
from importlib.util import find_spec
from pathlib import Path

from backend.chassis.catalog import CATALOG


def list_services_with_tables() -> list[str]:
    """Return the names of the services in the catalog that have migrations."""
    packages = {entry.name: f"backend.services.{entry.name}.migrations" for entry in CATALOG}
    return [name for name, package in packages.items() if find_spec(package) is not None]


def get_migrations_folder(service: str) -> Path:
    """Return the folder with the migrations of *service*."""
    package = importlib.import_module(f"backend.services.{service}.migrations")
    return Path(package.__path__[0])


def list_revisions(folder: Path) -> list[str]:
    """Return the revisions in *folder*, oldest first.

    Files are named after their revision: `0002_sessions.py` is 0002.
    """
    return sorted(file.name.partition("_")[0] for file in folder.glob("[0-9]*_*.py"))
