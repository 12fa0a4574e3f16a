"""Interface through which a service lists the data that encryption at rest covers.

A service with such data has a module `sealed_data` with a function `open_sealed_data(env)` that
returns a `SealedData`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import ColumnElement, Connection
from sqlalchemy.orm import Session

from backend.chassis.data_encryption.columns import SealedColumns
from backend.chassis.data_encryption.data_keys import (
    DataKeys,
    describe_missing_master_key,
    find_wrapped_by,
)
from backend.chassis.data_encryption.key_wrapping import create_wrappers
from backend.chassis.data_encryption.settings import EncryptionSettings
from backend.chassis.database.sessions import Database
from backend.chassis.encryption import MasterKeyError
from backend.chassis.settings import Env


@dataclass(frozen=True, slots=True)
class SealedTable:
    """A table with encrypted columns. *tenant* is the tenant of a row."""

    columns: SealedColumns
    tenant: ColumnElement[str]


@dataclass(frozen=True, slots=True)
class SealedFolder:
    """A folder with encrypted files.

    Attributes:
        path: the folder.
        kind: what the files are, to which they are bound.
        list_files: returns name and tenant of the files that the tables reference.
    """

    path: Path
    kind: str
    list_files: Callable[[Session], Sequence[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class SealedData:
    """The data of a service that encryption at rest covers.

    Attributes:
        database: tables of the service, migrated.
        rebuild_index: rewrites a search index that still contains deleted clear words.
    """

    service: str
    database: Database
    settings: EncryptionSettings
    tables: Sequence[SealedTable]
    folders: Sequence[SealedFolder]
    rebuild_index: Callable[[Session], None] | None = None


def open_sealed_data(service: str, env: Env) -> SealedData | None:
    """Return the data of *service*, or None if encryption at rest does not cover any of it.

    Raises:
        SettingsError: a setting is missing or invalid.
    """
    name = f"backend.services.{service}.sealed_data"
    if find_spec(name) is None:
        return None
    data: SealedData = import_module(name).open_sealed_data(env)
    return data


def find_master_key_problems(
    service: str, connection: Connection, settings: EncryptionSettings
) -> list[str]:
    """Return a sentence for each reason why the data keys in the tables cannot be unwrapped."""
    # A savepoint, so that the caller's transaction remains open.
    with Session(connection, join_transaction_mode="create_savepoint") as session:
        label = find_wrapped_by(service, session)
        if not settings.is_on:
            return [] if label is None else [describe_missing_master_key(service, label)]
        try:
            DataKeys(service, create_wrappers(settings)).check_master_keys(session)
        except MasterKeyError as error:
            return [str(error)]
    return []
