"""Encrypted columns of tables.

A row has the id of its data key in `data_key_id`, or null if its columns are clear. So both kinds
of rows can be read while existing data is encrypted. Each value is bound to its tenant, table,
column and row, and cannot be decrypted anywhere else.
"""

import base64
import binascii
import hmac
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.orm import Session, object_session
from sqlalchemy.orm.attributes import (
    instance_state,
    set_committed_value,
)

from backend.chassis.data_encryption.data_key import DataKey
from backend.chassis.data_encryption.data_keys import (
    DataKeys,
    get_data_keys,
    open_data_keys,
)
from backend.chassis.data_encryption.settings import EncryptionSettings
from backend.chassis.database.sessions import Database
from backend.chassis.encryption import DamagedValue, MasterKeyError

_log = logging.getLogger(__name__)
KEY_COLUMN: Final = "data_key_id"
_PLAIN: Final = "plain_values"
# Key in `Session.info`: the encrypted columns by model.
_COLUMNS: Final = "sealed_columns"
_WORD_BYTES: Final = 10
# Models with event listeners, which are registered once for all databases of the process.
_listening: set[type[Any]] = set()

Values = Mapping[str, Any]


class SearchWords:
    """A column of words, separated by spaces, that are stored as keyed hashes.

    The words of one tenant can be found with the same key, but not read. Equal words have equal
    hashes, so their frequencies are visible.

    Args:
        column: name of the column.
        build: returns the words of a row from its clear columns.
    """

    def __init__(self, column: str, build: Callable[[Values], str]) -> None:
        self.column = column
        self.build = build


class SealedColumns:
    """The encrypted columns of a mapped class, which has the column `data_key_id`.

    Args:
        model: the mapped class.
        identify: returns what identifies a row, from its columns. It must never change.
        text: names of text columns.
        json: names of JSON columns.
        words: the column of search words.
        placeholders: values that take the place of damaged ones when a row is loaded. Without
            them, loading a damaged row raises DamagedValue.
        get_tenant: returns the tenant of an instance that a session flushes; by default its
            attribute `tenant_id`.
    """

    def __init__(
        self,
        model: type[Any],
        identify: Callable[[Values], str],
        *,
        text: Iterable[str] = (),
        json: Iterable[str] = (),
        words: SearchWords | None = None,
        placeholders: Values | None = None,
        get_tenant: Callable[[Session, Any], str] = lambda _, target: str(target.tenant_id),
    ) -> None:
        self.model = model
        self.table: str = model.__tablename__
        self.names = (*text, *json)
        self.words = words
        self._json = frozenset(json)
        self._identify = identify
        self._placeholders = placeholders
        self._get_tenant = get_tenant

    def seal(
        self, keys: DataKeys, session: Session, tenant_id: str, values: Values
    ) -> dict[str, Any]:
        """Return the columns of a clear row with the encrypted ones and `data_key_id`."""
        key = keys.get_current_key(session, tenant_id)
        row_id = self._identify(values)
        sealed = {
            name: self._seal(key, name, row_id, values[name])
            for name in self.names
            if values.get(name) is not None
        }
        if self.words is not None and self.words.column in values:
            words = values[self.words.column]
            sealed[self.words.column] = seal_words(keys, session, tenant_id, words)
        return {**values, **sealed, KEY_COLUMN: key.id}

    def open(self, keys: DataKeys, session: Session, values: Values) -> dict[str, Any]:
        """Return the columns of a row in clear. *values* has `data_key_id` and what identifies it.

        Raises:
            DamagedValue: a value was changed or moved.
            MasterKeyError: the data key cannot be unwrapped.
        """
        key_id = values[KEY_COLUMN]
        if key_id is None:
            return dict(values)
        key, row_id = keys.get_key(session, key_id), self._identify(values)
        opened = {
            name: self._open(key, name, row_id, values[name])
            for name in self.names
            if values.get(name) is not None
        }
        return {**values, **opened}

    def listen(self) -> None:
        """Encrypt and decrypt the columns of instances when sessions flush and load them.

        Statements that name single columns are not covered.
        """
        if self.model in _listening:
            return
        _listening.add(self.model)
        event.listen(self.model, "load", _on_load)
        event.listen(self.model, "refresh", _on_refresh)
        for name in ("before_insert", "before_update"):
            event.listen(self.model, name, _before_flush)
        for name in ("after_insert", "after_update"):
            event.listen(self.model, name, _after_flush)

    def open_instance(self, target: Any, session: Session, names: Iterable[str]) -> None:
        """Decrypt the columns *names* of a loaded instance."""
        values, keys = instance_state(target).dict, get_data_keys(session)
        if keys is None or values.get(KEY_COLUMN) is None:
            return
        names = list(names)
        row = {**values, **dict.fromkeys(self.names), **{name: values.get(name) for name in names}}
        try:
            opened = self.open(keys, session, row)
        except DamagedValue as error:
            if self._placeholders is None:
                raise
            _log.error("an encrypted row is damaged", extra={"context": str(error)})
            opened = {name: self._placeholders[name] for name in names}
        for name in names:
            set_committed_value(target, name, opened[name])

    def seal_instance(self, target: Any, session: Session) -> None:
        """Encrypt the columns of an instance before it is flushed, if one of them has changed."""
        keys = get_data_keys(session)
        if keys is None or not self._has_changes(target):
            return
        state = instance_state(target)
        if state.has_identity:
            # All columns of a row have the same data key, so those that were expired are loaded.
            values = dict(state.dict) | {name: getattr(target, name) for name in self.names}
        else:
            values = dict(state.dict)
        if self.words is not None:
            values[self.words.column] = self.words.build(values)
        sealed = self.seal(keys, session, self._get_tenant(session, target), values)
        names = [name for name in self.names if name in values]
        state.info[_PLAIN] = {name: values[name] for name in names}
        for name in (*names, *([self.words.column] if self.words else ()), KEY_COLUMN):
            setattr(target, name, sealed[name])

    def _seal(self, key: DataKey, name: str, row_id: str, value: Any) -> str:
        text = json.dumps(value, ensure_ascii=False) if name in self._json else value
        # Lone surrogates cannot be stored in clear columns of PostgreSQL either.
        sealed = key.encrypt(text.encode("utf-8", "surrogatepass"), self._bind(name, row_id))
        return base64.b64encode(sealed).decode()

    def _open(self, key: DataKey, name: str, row_id: str, value: Any) -> Any:
        if not isinstance(value, str):
            if value in ([], {}):  # the default of a column that was not set
                return value
            raise DamagedValue(self._bind(name, row_id))
        try:
            sealed = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            raise DamagedValue(self._bind(name, row_id)) from error
        text = key.decrypt(sealed, self._bind(name, row_id)).decode("utf-8", "surrogatepass")
        return json.loads(text) if name in self._json else text

    def _bind(self, name: str, row_id: str) -> str:
        return f"{self.table}.{name}:{row_id}"

    def _has_changes(self, target: Any) -> bool:
        # The words can be set in clear again while the text is the same.
        names = (*self.names, *([self.words.column] if self.words else ()))
        return any(instance_state(target).attrs[name].history.has_changes() for name in names)


def open_encryption(
    service: str,
    database: Database,
    settings: EncryptionSettings,
    tables: Iterable[SealedColumns],
) -> DataKeys | None:
    """Let sessions of *database* encrypt and decrypt the columns of *tables* if encryption is on.

    Returns:
        The data keys, or None if encryption is off.

    Raises:
        SettingsError: the master key is missing or wrong, or the KMS command failed.
    """
    keys = open_data_keys(service, database, settings)
    if keys is not None:
        columns = {table.model: table for table in tables}
        database.share_with_sessions(_COLUMNS, columns)
        for table in columns.values():
            table.listen()
    return keys


def seal_row(session: Session, model: type[Any], tenant_id: str, values: Values) -> dict[str, Any]:
    """Return the columns of a new row of *model*, encrypted if encryption is on."""
    keys, columns = get_data_keys(session), _find_columns(session, model)
    if keys is None or columns is None:
        return dict(values)
    return columns.seal(keys, session, tenant_id, values)


def open_row(session: Session, model: type[Any], values: Values) -> Values:
    """Return the columns of a row of *model* in clear.

    Args:
        values: `data_key_id`, what identifies the row, and encrypted columns by name.

    Raises:
        DamagedValue: a value was changed or moved.
        MasterKeyError: the data key cannot be unwrapped.
    """
    if values[KEY_COLUMN] is None:
        return values
    keys, columns = get_data_keys(session), _find_columns(session, model)
    if keys is None or columns is None:
        raise MasterKeyError("Encryption is off, and a row of the database is encrypted.")
    return columns.open(keys, session, values)


def open_instance(session: Session, target: Any) -> None:
    """Decrypt the columns of an instance that was loaded without the ORM, if encryption is on."""
    columns = _find_columns(session, type(target))
    if columns is not None:
        columns.open_instance(target, session, columns.names)


def _find_columns(session: Session, model: type[Any]) -> SealedColumns | None:
    columns: Mapping[type[Any], SealedColumns] = session.info.get(_COLUMNS, {})
    return columns.get(model)


def _on_load(target: Any, context: Any) -> None:
    open_instance(context.session, target)


def _on_refresh(target: Any, context: Any, attributes: Sequence[str] | None) -> None:
    if context is None:  # an UPDATE statement has set attributes, and nothing was read
        return
    columns = _find_columns(context.session, type(target))
    if columns is not None:
        names = columns.names if attributes is None else set(columns.names) & set(attributes)
        columns.open_instance(target, context.session, names)


def _before_flush(_mapper: object, _connection: object, target: Any) -> None:
    session = object_session(target)
    columns = None if session is None else _find_columns(session, type(target))
    if session is not None and columns is not None:
        columns.seal_instance(target, session)


def _after_flush(_mapper: object, _connection: object, target: Any) -> None:
    for name, value in instance_state(target).info.pop(_PLAIN, {}).items():
        set_committed_value(target, name, value)


def seal_words(keys: DataKeys, session: Session, tenant_id: str, words: str) -> str:
    """Return the keyed hashes of *words*, separated by spaces.

    Their key is derived from the tenant's oldest data key, so that words are found with one hash
    after data keys were rotated.
    """
    if not words:
        return words
    keys.get_current_key(session, tenant_id)  # creates the first one
    key = keys.get_first_key(session, tenant_id)
    if key is None:
        raise DamagedValue(f"data key of tenant {tenant_id}")
    secret = _derive_words_key(key)
    return " ".join(_hash_word(secret, word) for word in words.split(" "))


def list_word_forms(
    session: Session, tenant_id: str, words: Sequence[str]
) -> Sequence[tuple[str, ...]]:
    """Return, for each of *words*, the forms in which rows of the tenant may contain it."""
    keys = get_data_keys(session)
    key = None if keys is None else keys.get_first_key(session, tenant_id)
    if key is None:
        return [(word,) for word in words]
    secret = _derive_words_key(key)
    return [(word, _hash_word(secret, word)) for word in words]


def _derive_words_key(key: DataKey) -> bytes:
    return key.derive(b"", key.bind("search words"))


def _hash_word(secret: bytes, word: str) -> str:
    return hmac.digest(secret, word.encode("utf-8", "surrogatepass"), sha256)[:_WORD_BYTES].hex()
