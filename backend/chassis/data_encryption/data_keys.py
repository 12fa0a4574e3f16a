"""Data keys: one for each tenant, wrapped by the master key in a table of the service."""

import os
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache, partial
from time import monotonic
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.orm import Session

from backend.chassis.data_encryption.data_key import DataKey, bind_wrapped_key
from backend.chassis.data_encryption.key_wrapping import (
    KMS_LABEL,
    KeyWrapper,
    create_wrappers,
)
from backend.chassis.data_encryption.kms_calls import KmsCalls
from backend.chassis.data_encryption.settings import KEY_BYTES, EncryptionSettings
from backend.chassis.database.sessions import Database
from backend.chassis.database.types import UtcDateTime
from backend.chassis.encryption import DamagedValue, MasterKeyError
from backend.chassis.settings import SettingsError

T = TypeVar("T")

# Key in `Session.info`: the data keys of the service if encryption is on.
_DATA_KEYS: Final = "data_keys"
_CURRENT: Final = "current_data_keys"
# An entry takes about 1 KiB.
_MAX_CACHED: Final = 1000
_MAX_PREPARATION_SECONDS: Final = 10.0
# Stands for a new key where failures are noted by the ids of keys.
_NEW_KEY: Final = "new"
KEY_ID_CHARACTERS: Final = 28
_SET_KEY = (
    "Set ENCRYPTION_KEY_FILE or ENCRYPTION_KMS_COMMAND as it was when the data was encrypted."
)


class StoredKey(NamedTuple):
    """A row of the table of data keys."""

    id: str
    tenant_id: str
    number: int
    wrapped_by: str
    wrapped: str


@cache
def get_table(service: str) -> Table:
    """Return the table of the data keys of *service*, as `migrations.py` creates it."""
    return Table(
        f"{service}_data_keys",
        MetaData(),
        Column("id", String(40), primary_key=True),
        Column("tenant_id", String(64), nullable=False),
        Column("number", Integer, nullable=False),
        Column("wrapped_by", String(32), nullable=False),
        Column("wrapped", Text, nullable=False),
        Column("created_at", UtcDateTime, nullable=False),
        UniqueConstraint("tenant_id", "number"),
    )


# Built once: each transaction that writes encrypted values executes it.
@cache
def _build_last_key_query(service: str) -> Select[Any]:
    """Return the query of the newest data key of a tenant, which it locks against deletion."""
    columns = get_table(service).c
    return (
        select(columns.id, columns.tenant_id, columns.number, columns.wrapped_by, columns.wrapped)
        .where(columns.tenant_id == bindparam("tenant"))
        .order_by(columns.number.desc())
        .limit(1)
        .with_for_update(read=True, key_share=True)
    )


class DataKeys:
    """Creates, finds and wraps the data keys of a service. Unwrapped ones are kept in memory.

    The methods raise MasterKeyError if the master key is missing or its KMS command fails.

    Args:
        service: name of the service.
        wrappers: master keys; the first one wraps new data keys.
    """

    def __init__(
        self,
        service: str,
        wrappers: Sequence[KeyWrapper],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._service = service
        self.table = get_table(service)
        self._wrappers = {wrapper.label: wrapper for wrapper in reversed(wrappers)}
        self._wrapper = wrappers[0]
        self._now = now
        self._lock = threading.Lock()
        self._cache: OrderedDict[str, DataKey] = OrderedDict()
        # A new key and its wrapped form, which the KMS command has made before it is needed.
        self._spare_key: tuple[bytes, str] | None = None
        self._kms_calls = KmsCalls()

    @property
    def master_key(self) -> str:
        """The label of the current master key, which wraps new data keys."""
        return self._wrapper.label

    def prepare(self, database: Database, tenant_id: str | None) -> None:
        """Run the KMS command before a writing transaction, in which it would block others.

        It unwraps keys and wraps a new one. Failures are raised when a key is used.

        Args:
            database: the tables of the service for every tenant.
            tenant_id: tenant of the transaction; None if it can use the keys of all. Those are not
                unwrapped on PostgreSQL, where other transactions can write meanwhile.
        """
        if self._wrapper.label == KMS_LABEL and self._spare_key is None:
            with suppress(MasterKeyError):
                self._spare_key = self._wrap_new_key("", "")
        if tenant_id is None and database.engine.dialect.name == "postgresql":
            return
        deadline = monotonic() + _MAX_PREPARATION_SECONDS
        for row in self._list_unused(database, tenant_id):
            if monotonic() >= deadline:
                return
            with suppress(MasterKeyError):
                self._unwrap(row)

    def get_key(self, session: Session, key_id: str) -> DataKey:
        """Return the data key *key_id*. Raises DamagedValue if it does not exist."""
        with self._lock:
            if key_id in self._cache:
                self._cache.move_to_end(key_id)
                return self._cache[key_id]
        row = self._find(session, self._select().where(self.table.c.id == key_id))
        if row is None:
            raise DamagedValue(f"data key {key_id}")
        return self._unwrap(row)

    def get_current_key(self, session: Session, tenant_id: str) -> DataKey:
        """Return the key that encrypts new values of the tenant. It is created if needed.

        The key is not deleted before the transaction of *session* ends.
        """
        current: dict[str, DataKey] = session.info.setdefault(_CURRENT, {})
        if tenant_id not in current:
            row = self._find_last(session, tenant_id) or self._add(session, tenant_id, 1)
            current[tenant_id] = self._unwrap(row)
        return current[tenant_id]

    def get_first_key(self, session: Session, tenant_id: str) -> DataKey | None:
        """Return the tenant's oldest data key, or None if it has none."""
        query = self._select().where(self.table.c.tenant_id == tenant_id)
        row = self._find(session, query.order_by(self.table.c.number).limit(1))
        return None if row is None else self._unwrap(row)

    def add_key(self, session: Session, tenant_id: str) -> None:
        """Create a data key of the tenant, which replaces its current one for new values."""
        last = self._find_last(session, tenant_id)
        self._add(session, tenant_id, 1 if last is None else last.number + 1)

    def list_tenants(self, session: Session) -> Sequence[str]:
        query = select(self.table.c.tenant_id).distinct().order_by(self.table.c.tenant_id)
        return session.scalars(query).all()

    def select_replaced_ids(self) -> Select[tuple[str]]:
        """Return a query of the ids of data keys that have been replaced by newer ones."""
        newer = self.table.alias()
        return select(self.table.c.id).where(
            select(newer.c.id)
            .where(newer.c.tenant_id == self.table.c.tenant_id)
            .where(newer.c.number > self.table.c.number)
            .exists()
        )

    def list_wrapped_otherwise(self, session: Session) -> Sequence[StoredKey]:
        """Return the data keys that the current master key has not wrapped."""
        query = self._select().where(self.table.c.wrapped_by != self._wrapper.label)
        return [StoredKey(*row) for row in session.execute(query)]

    def list_all(self, session: Session) -> Sequence[StoredKey]:
        return [StoredKey(*row) for row in session.execute(self._select())]

    def count_by_master_key(self, session: Session) -> dict[str, int]:
        """Return the numbers of data keys by the label of the master key that has wrapped them."""
        query = select(self.table.c.wrapped_by, func.count()).group_by(self.table.c.wrapped_by)
        return dict(session.execute(query).tuples().all())

    def wrap_again(self, row: StoredKey) -> str:
        """Return a data key wrapped with the current master key."""
        return self._unwrap(row).wrap(self._wrapper)

    def replace_wrapped(self, session: Session, row: StoredKey, wrapped: str) -> None:
        """Store what `wrap_again` returned. Values that the key encrypts do not change."""
        session.execute(
            update(self.table)
            .where(self.table.c.id == row.id, self.table.c.wrapped == row.wrapped)
            .values(wrapped=wrapped, wrapped_by=self._wrapper.label)
        )

    def delete_all(self, session: Session) -> None:
        """Delete all data keys. No value may be encrypted with them any more."""
        session.execute(delete(self.table))
        with self._lock:
            self._cache.clear()

    def check_master_keys(self, session: Session) -> None:
        """Unwrap a data key of each master key that has wrapped some. Raises MasterKeyError.

        A current master key that has not wrapped any is tried with a new data key.
        """
        query = select(self.table.c.wrapped_by, func.min(self.table.c.id))
        key_ids = dict(session.execute(query.group_by(self.table.c.wrapped_by)).tuples().all())
        for key_id in key_ids.values():
            row = self._find(session, self._select().where(self.table.c.id == key_id))
            if row is not None:
                self._unwrap_with_master_key(row)
        if self._wrapper.label not in key_ids:
            probe = os.urandom(KEY_BYTES)
            context = bind_wrapped_key("", "probe")
            if self._wrapper.unwrap(self._wrapper.wrap(probe, context), context) != probe:
                raise MasterKeyError("ENCRYPTION_KMS_COMMAND: unwrap does not reverse wrap.")

    def _get_wrapper(self, row: StoredKey) -> KeyWrapper:
        wrapper = self._wrappers.get(row.wrapped_by)
        if wrapper is None:
            raise MasterKeyError(describe_missing_master_key(self._service, row.wrapped_by))
        return wrapper

    def _unwrap(self, row: StoredKey) -> DataKey:
        with self._lock:
            if row.id in self._cache:
                return self._cache[row.id]
        if row.wrapped_by != KMS_LABEL:
            return self._add_to_cache(self._unwrap_with_master_key(row))
        with self._kms_calls.wait_for_others(row.id):
            with self._lock:
                if row.id in self._cache:
                    return self._cache[row.id]
            return self._add_to_cache(self._unwrap_with_master_key(row))

    def _unwrap_with_master_key(self, row: StoredKey) -> DataKey:
        wrapper, context = self._get_wrapper(row), bind_wrapped_key(row.tenant_id, row.id)
        try:
            key = self._call(wrapper, row.id, lambda: wrapper.unwrap(row.wrapped, context))
        except DamagedValue as error:
            raise MasterKeyError(
                f"The data key {row.id} of the tenant {row.tenant_id} in {self.table.name} is "
                "damaged. Restore a backup."
            ) from error
        return DataKey(row.id, row.tenant_id, key)

    def _add_to_cache(self, key: DataKey) -> DataKey:
        with self._lock:
            self._cache[key.id] = key
            if len(self._cache) > _MAX_CACHED:
                self._cache.popitem(last=False)
        return key

    def _call(self, wrapper: KeyWrapper, key_id: str, call: Callable[[], T]) -> T:
        """Return the result of *call*, which uses *wrapper*."""
        return call() if wrapper.label != KMS_LABEL else self._kms_calls.call(key_id, call)

    def _wrap_new_key(self, tenant_id: str, key_id: str) -> tuple[bytes, str]:
        """Return a new key and its wrapped form. A KMS command ignores tenant and id."""
        with self._lock:
            spare, self._spare_key = self._spare_key, None
        if spare is not None:
            return spare
        key, context = os.urandom(KEY_BYTES), bind_wrapped_key(tenant_id, key_id)
        return key, self._call(self._wrapper, _NEW_KEY, lambda: self._wrapper.wrap(key, context))

    def _list_unused(self, database: Database, tenant_id: str | None) -> Sequence[StoredKey]:
        """Return data keys that this process has not unwrapped with the KMS command yet."""
        columns = self.table.c
        query = select(columns.id).where(columns.wrapped_by == KMS_LABEL)
        query = query.order_by(columns.created_at.desc()).limit(_MAX_CACHED)
        if tenant_id is not None:
            query = query.where(columns.tenant_id == tenant_id)
        with self._lock:
            known = set(self._cache)
        with database.read() as session:
            ids = set(session.scalars(query)) - known
            if not ids:
                return ()
            rows = session.execute(self._select().where(columns.id.in_(ids))).all()
        return [StoredKey(*row) for row in rows]

    def _add(self, session: Session, tenant_id: str, number: int) -> StoredKey:
        key_id = f"key_{secrets.token_hex((KEY_ID_CHARACTERS - 4) // 2)}"
        key, wrapped = self._wrap_new_key(tenant_id, key_id)
        values = {
            "id": key_id,
            "tenant_id": tenant_id,
            "number": number,
            "wrapped_by": self._wrapper.label,
            "wrapped": wrapped,
            "created_at": self._now(),
        }
        # Imported here: most processes create no keys.
        if session.get_bind().dialect.name == "postgresql":
            from sqlalchemy.dialects.postgresql import insert
        else:
            from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]
        # Another transaction may have created the same key since.
        session.connection().execute(insert(self.table).values(values).on_conflict_do_nothing())
        row = self._find_last(session, tenant_id)
        if row is None:
            raise DamagedValue(f"data key of tenant {tenant_id}")
        if row.id == key_id:
            self._add_to_cache(DataKey(key_id, tenant_id, key))
        return row

    def _find_last(self, session: Session, tenant_id: str) -> StoredKey | None:
        parameters = {"tenant": tenant_id}
        row = session.connection().execute(_build_last_key_query(self._service), parameters).first()
        return None if row is None else StoredKey(*row)

    def _select(self) -> Select[Any]:
        columns = self.table.c
        return select(
            columns.id, columns.tenant_id, columns.number, columns.wrapped_by, columns.wrapped
        )

    def _find(self, session: Session, query: Select[Any]) -> StoredKey | None:
        # The connection, not the session: this is called while the session loads or flushes rows.
        row = session.connection().execute(query).first()
        return None if row is None else StoredKey(*row)


def open_data_keys(
    service: str, database: Database, settings: EncryptionSettings
) -> DataKeys | None:
    """Return the data keys of *service*, or None if encryption is off.

    Sessions of *database* encrypt and decrypt with them from then on.

    Raises:
        SettingsError: the master key is missing or wrong, or the KMS command failed.
    """
    all_tenants = database.across_tenants()
    if not settings.is_on:
        with all_tenants.read() as session:
            label = find_wrapped_by(service, session)
        if label is not None:
            raise SettingsError(describe_missing_master_key(service, label))
        return None
    keys = DataKeys(service, create_wrappers(settings))
    with all_tenants.read() as session:
        try:
            keys.check_master_keys(session)
        except MasterKeyError as error:
            raise SettingsError(str(error)) from error
    database.share_with_sessions(_DATA_KEYS, keys)
    if settings.kms_command:
        database.add_preparation(partial(keys.prepare, all_tenants))
    return keys


def get_data_keys(session: Session) -> DataKeys | None:
    """Return the data keys of the session's database, or None if encryption is off."""
    keys: DataKeys | None = session.info.get(_DATA_KEYS)
    return keys


def find_wrapped_by(service: str, session: Session) -> str | None:
    """Return the label of a master key that has wrapped data keys, or None without any."""
    label: str | None = session.scalar(select(get_table(service).c.wrapped_by).limit(1))
    return label


def describe_master_key(label: str) -> str:
    """Return the name of a master key, such as `the master key 0123456789ab`."""
    if label.startswith("file:"):
        return f"the master key {label.partition(':')[2]}"
    return "the KMS command"


def describe_missing_master_key(service: str, label: str) -> str:
    """Return a sentence for data that was encrypted with a master key that is not set."""
    if label.startswith("file:"):
        return (
            f"Data of {service} is encrypted with {describe_master_key(label)}, which is not in "
            f"ENCRYPTION_KEY_FILE. {_SET_KEY}"
        )
    return f"Data of {service} is encrypted through a KMS command, which is not set. {_SET_KEY}"
