"""Encrypt existing data, rotate keys, and decrypt everything, in short transactions.

Each transaction changes some rows completely, so a killed run leaves rows of both kinds, which the
service reads. The next run continues: it skips what is done.
"""

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

from sqlalchemy import ColumnElement, func, or_, select, tuple_, update
from sqlalchemy.orm import Session

from backend.chassis.data_encryption.columns import KEY_COLUMN, open_encryption
from backend.chassis.data_encryption.data_keys import DataKeys
from backend.chassis.data_encryption.files import (
    FileEncryption,
    FileKeys,
    delete_clear_copy,
    get_sealed_path,
    is_sealed_file,
    list_abandoned_drafts,
    read_key_id,
)
from backend.chassis.data_encryption.sealed_data import SealedData, SealedFolder, SealedTable
from backend.chassis.encryption import DamagedValue
from backend.chassis.files import try_change_files

_BATCH_ROWS: Final = 100
# Other writers of SQLite find the lock free in the pauses.
_MAX_PAUSE_SECONDS: Final = 0.05
# A backup that waits for the lock of a folder gets it in the pauses.
_FILE_PAUSE_SECONDS: Final = 0.001
_BACKUP_CHECK_SECONDS: Final = 0.2
_MAX_EXAMPLES: Final = 5

# Receives the name of a table or folder, and the numbers of converted and of all rows or files; or
# the reason why it waits, and zeros.
ReportProgress = Callable[[str, int, int], None]


@dataclass(slots=True)
class Counts:
    """Numbers of rows or files: clear ones, those under replaced data keys, and all."""

    name: str
    clear: int = 0
    replaced: int = 0
    total: int = 0


@dataclass(slots=True)
class Result:
    """Number of converted rows and files, and what could not be decrypted."""

    converted: int = 0
    damaged: int = 0
    examples: list[str] = field(default_factory=list)

    def add_damaged(self, name: str) -> None:
        self.damaged += 1
        if len(self.examples) < _MAX_EXAMPLES:
            self.examples.append(name)


class Reencryption:
    """Converts the data of a service. It can run while the service runs.

    Raises:
        SettingsError: encryption is off, or the master key is missing or wrong.
    """

    def __init__(self, data: SealedData, keys: DataKeys, report: ReportProgress) -> None:
        self._data = data
        self._keys = keys
        self._database = data.database.across_tenants()
        self._report = report

    @classmethod
    def open(cls, data: SealedData, report: ReportProgress) -> "Reencryption | None":
        """Return the conversion of *data*, or None if encryption is off."""
        columns = [table.columns for table in data.tables]
        keys = open_encryption(data.service, data.database, data.settings, columns)
        return None if keys is None else cls(data, keys, report)

    def count(self) -> Iterator[Counts]:
        """Yield the numbers of rows of each table and of files of each folder."""
        with self._database.read() as session:
            replaced = self._keys.select_replaced_ids()
            for table in self._data.tables:
                key_id = table.columns.model.data_key_id
                query = select(
                    func.count(),
                    func.count().filter(key_id.is_(None)),
                    func.count().filter(key_id.in_(replaced)),
                )
                total, clear, old = session.execute(query.select_from(table.columns.model)).one()
                yield Counts(table.columns.table, clear, old, total)
            replaced_ids = set(session.scalars(replaced))
            for folder in self._data.folders:
                yield _count_files(folder, folder.list_files(session), replaced_ids)

    def encrypt(self) -> Result:
        """Encrypt clear data, and data under replaced data keys with the current ones."""
        result = Result()
        for table in self._data.tables:
            key_id = table.columns.model.data_key_id
            condition = or_(key_id.is_(None), key_id.in_(self._keys.select_replaced_ids()))
            self._convert_rows(table, condition, self._encrypt_row, result)
        for folder in self._data.folders:
            self._encrypt_files(folder, result)
        return result

    def rotate_data_keys(self) -> int:
        """Create a new data key for each tenant. Returns the number of tenants."""
        with self._database.read() as session:
            tenants = self._keys.list_tenants(session)
        for tenant_id in tenants:
            with self._database.write() as session:
                self._keys.add_key(session, tenant_id)
        return len(tenants)

    @property
    def master_key(self) -> str:
        """The label of the current master key."""
        return self._keys.master_key

    def count_data_keys(self) -> dict[str, int]:
        """Return the numbers of data keys by the label of the master key that has wrapped them."""
        with self._database.read() as session:
            return self._keys.count_by_master_key(session)

    def rewrap_data_keys(self) -> int:
        """Wrap all data keys with the current master key. Returns the number of changed ones."""
        with self._database.read() as session:
            rows = self._keys.list_wrapped_otherwise(session)
        for row in rows:
            wrapped = self._keys.wrap_again(row)
            with self._database.write() as session:
                self._keys.replace_wrapped(session, row, wrapped)
        return len(rows)

    def decrypt(self) -> Result:
        """Decrypt everything, and delete the data keys unless something could not be decrypted.

        The services must be stopped: they would encrypt new data.
        """
        result = Result()
        for table in self._data.tables:
            condition = table.columns.model.data_key_id.is_not(None)
            self._convert_rows(table, condition, self._decrypt_row, result)
        for folder in self._data.folders:
            self._decrypt_files(folder, result)
        if not result.damaged and not any(counts.clear < counts.total for counts in self.count()):
            with self._database.write() as session:
                self._keys.delete_all(session)
        return result

    def remove_deleted_text(self) -> bool:
        """Rewrite an SQLite file, in whose free pages deleted clear text remains.

        Returns:
            False if another process uses the file. On PostgreSQL, nothing is done.

        Raises:
            OSError: the disk has no space for a copy of the file.
        """
        if self._database.engine.dialect.name != "sqlite":
            return True
        if self._data.rebuild_index is not None:
            with self._database.write() as session:
                self._data.rebuild_index(session)
        connection = self._database.engine.raw_connection()
        try:
            cursor = connection.cursor()
            cursor.execute("VACUUM")
            is_busy, _, _ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                path = self._database.engine.url.database
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path) from error
            return False
        else:
            return not is_busy
        finally:
            connection.close()

    def _convert_rows(
        self,
        table: SealedTable,
        condition: ColumnElement[bool],
        convert: Callable[[Session, SealedTable, Mapping[str, Any]], dict[str, Any]],
        result: Result,
    ) -> None:
        rows = table.columns.model.__table__
        key = tuple_(*rows.primary_key.columns)
        query = select(rows, table.tenant.label("_tenant_id")).where(condition)
        query = query.order_by(*rows.primary_key.columns).limit(_BATCH_ROWS)
        with self._database.read() as session:
            total = session.scalar(
                select(func.count()).select_from(table.columns.model).where(condition)
            )
        done, last = 0, None
        while True:
            started_at = monotonic()
            with self._database.write() as session:
                batch_query = query if last is None else query.where(key > last)
                locked = session.execute(batch_query.with_for_update(of=rows))
                batch = [row._asdict() for row in locked]
                for row in batch:
                    try:
                        values = convert(session, table, row)
                    except DamagedValue as error:
                        result.add_damaged(str(error))
                        continue
                    same_row = (column == row[column.name] for column in rows.primary_key.columns)
                    session.execute(update(rows).where(*same_row).values(values))
                    result.converted += 1
            done += len(batch)
            self._report(table.columns.table, done, max(total or 0, done))
            if len(batch) < _BATCH_ROWS:
                return
            last = tuple(batch[-1][column.name] for column in rows.primary_key.columns)
            sleep(min(monotonic() - started_at, _MAX_PAUSE_SECONDS))

    def _encrypt_row(
        self, session: Session, table: SealedTable, row: Mapping[str, Any]
    ) -> dict[str, Any]:
        opened = self._open(session, table, row)
        sealed = table.columns.seal(self._keys, session, row["_tenant_id"], opened)
        return _select_columns(table, sealed)

    def _decrypt_row(
        self, session: Session, table: SealedTable, row: Mapping[str, Any]
    ) -> dict[str, Any]:
        return _select_columns(table, self._open(session, table, row) | {KEY_COLUMN: None})

    def _open(self, session: Session, table: SealedTable, row: Mapping[str, Any]) -> dict[str, Any]:
        opened = table.columns.open(self._keys, session, row)
        words = table.columns.words
        if words is not None and row[words.column]:
            opened[words.column] = words.build(opened)
        return opened

    def _encrypt_files(self, folder: SealedFolder, result: Result) -> None:
        encryption = self._open_folder(folder)
        with self._database.read() as session:
            files = folder.list_files(session)
            replaced = set(session.scalars(self._keys.select_replaced_ids()))
        for number, (name, tenant_id) in enumerate(files, 1):
            path = folder.path / name
            with self._change_file(folder), suppress(FileNotFoundError):  # deleted, or missing
                if not get_sealed_path(path).exists() or _is_replaced(path, replaced):
                    try:
                        encryption.seal_file(path, tenant_id)
                        result.converted += 1
                    except DamagedValue as error:
                        result.add_damaged(str(error))
            self._report(folder.kind, number, len(files))
        # Only now, so that requests which have found a clear file can open it.
        for name, _ in files:
            with self._change_file(folder):
                delete_clear_copy(folder.path / name)
        _delete_drafts(folder)

    def _decrypt_files(self, folder: SealedFolder, result: Result) -> None:
        encryption = self._open_folder(folder)
        with self._database.read() as session:
            files = folder.list_files(session)
        for number, (name, _) in enumerate(files, 1):
            path = folder.path / name
            with self._change_file(folder):
                if get_sealed_path(path).exists():
                    try:
                        encryption.unseal_file(path)
                        result.converted += 1
                    except DamagedValue as error:
                        result.add_damaged(str(error))
            self._report(folder.kind, number, len(files))
        _delete_drafts(folder)

    @contextmanager
    def _change_file(self, folder: SealedFolder) -> Iterator[None]:
        """Wait until no backup reads the folder, and let none begin within the block.

        A backup would otherwise contain files whose data key is newer than its tables.
        """
        while True:
            with try_change_files(folder.path) as is_allowed:
                if is_allowed:
                    yield
                    break
            self._report(f"{folder.kind}: waiting for a backup to end", 0, 0)
            sleep(_BACKUP_CHECK_SECONDS)
        sleep(_FILE_PAUSE_SECONDS)

    def _open_folder(self, folder: SealedFolder) -> FileEncryption:
        return FileEncryption(folder.kind, FileKeys(self._keys, self._data.database))


def _select_columns(table: SealedTable, values: Mapping[str, Any]) -> dict[str, Any]:
    words = () if table.columns.words is None else (table.columns.words.column,)
    return {name: values[name] for name in (*table.columns.names, *words, KEY_COLUMN)}


def _count_files(
    folder: SealedFolder, files: Sequence[tuple[str, str]], replaced: set[str]
) -> Counts:
    """Count the files. A clear one counts as clear if it is a copy that a killed run has left."""
    counts = Counts(folder.kind)
    for name, _ in files:
        path = folder.path / name
        is_clear, is_sealed = path.exists(), get_sealed_path(path).exists()
        if is_sealed or is_clear:
            counts.total += 1
            counts.clear += is_clear
            counts.replaced += is_sealed and _is_replaced(path, replaced)
    for path in list_abandoned_drafts(folder.path):
        if not is_sealed_file(path):
            counts.total += 1
            counts.clear += 1
    return counts


def _delete_drafts(folder: SealedFolder) -> None:
    for path in list_abandoned_drafts(folder.path):
        path.unlink(missing_ok=True)


def _is_replaced(path: Path, replaced: set[str]) -> bool:
    return bool(replaced) and read_key_id(get_sealed_path(path)) in replaced
