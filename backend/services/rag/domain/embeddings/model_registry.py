"""Registry of embedding models: the serving model and the one that will replace it."""

import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from backend.ai.embedding import (
    BuiltInEmbedder,
    EmbeddingConfig,
    EmbeddingModel,
    EmbeddingModelUnavailable,
    open_embedding_model,
)
from backend.chassis.database.sessions import Database, Session, acquire_transaction_lock
from backend.services.rag.store import embeddings as store
from backend.services.rag.store.base import new_id, utc_now
from backend.services.rag.store.embeddings import EmbeddingModelRow, ModelState

_log = logging.getLogger(__name__)
# A process can use the previous serving model for this time before it reads the tables again.
REFRESH_SECONDS = 1.0
_RETRY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class StoredModel:
    """An embedding model as recorded in the tables.

    Attributes:
        address: URL of the server that runs it, or None for a model in this process.
        suffix: last part of the names of its partitions.
    """

    id: str
    name: str
    address: str | None
    suffix: str
    state: ModelState

    @property
    def is_remote(self) -> bool:
        return self.address is not None and self.address.startswith("http")

    def get_partition_name(self, collection_id: str) -> str:
        """Return the name of the partition with the collection's vectors of this model."""
        return build_partition_name(collection_id, self.suffix)

    def owns_partition(self, partition: str) -> bool:
        return partition.partition(".")[2] == self.suffix


def build_partition_name(collection_id: str, suffix: str) -> str:
    """Return the partition name of a collection for the model with *suffix*."""
    return f"{collection_id}.{suffix}" if suffix else collection_id


class EmbeddingModelRegistry:
    """Reads the current embedding models from the tables, so that all processes use the same."""

    def __init__(
        self,
        database: Database,
        config: EmbeddingConfig,
        data_dir: Path,
        built_in: BuiltInEmbedder,
        *,
        store: str,
    ) -> None:
        """*database* sees all tenants' rows.

        Args:
            config: the configured model.
            store: kind of the vector store.
        """
        self._database = database
        self._config = config
        self.store = store
        self._data_dir = data_dir
        self._built_in = built_in
        self._lock = threading.Lock()
        self._open_models: dict[tuple[str, str | None], EmbeddingModel] = {}
        self._failures: dict[tuple[str, str | None], tuple[float, EmbeddingModelUnavailable]] = {}
        self._current: tuple[float, tuple[StoredModel, ...]] = (float("-inf"), ())

    def activate_configured_model(self) -> None:
        """Record that the configured model is to serve searches.

        A new model has the state "building" and serves when it has embedded all chunks. Vectors
        in a vector store of another kind are considered missing and are embedded again.
        """
        with self._database.write() as session:
            acquire_transaction_lock(session, "rag embedding models")
            for row in store.list_models(session, "building"):
                if row.name != self._config.name:
                    row.state, row.since = "leaving", utc_now()
            rows = store.list_models(session, "serving", "building", "leaving")
            configured = next((row for row in rows if row.name == self._config.name), None)
            if configured is None:
                configured = self._add_model(session)
            elif configured.state == "leaving":
                configured.state = "building"
            configured.address = self._config.address
            for row in rows:
                if row.store != self.store:
                    store.delete_model_embeddings(session, row.id)
                    row.store = self.store
            if configured.state == "building":
                _log.info("embedding all chunks with %s", configured.name)
        self._current = (float("-inf"), ())

    def _add_model(self, session: Session) -> EmbeddingModelRow:
        row = EmbeddingModelRow(
            name=self._config.name,
            suffix=new_id("emb")[-8:],
            store=self.store,
            state="building",
        )
        session.add(row)
        return row

    def get_serving_model(self) -> StoredModel:
        """Return the model that searches use."""
        return next(model for model in self.list_current_models() if model.state == "serving")

    def list_current_models(self) -> tuple[StoredModel, ...]:
        """Return the serving model and, if there is one, its pending replacement."""
        read_at, models = self._current
        if time.monotonic() - read_at > REFRESH_SECONDS:
            with self._database.read() as session:
                rows = store.list_models(session, "serving", "building")
                models = tuple(
                    StoredModel(row.id, row.name, row.address, row.suffix, row.state)
                    for row in rows
                )
            self._current = time.monotonic(), models
        return models

    def open_model(self, model: StoredModel) -> EmbeddingModel:
        """Open *model* once and return it.

        Raises:
            EmbeddingModelUnavailable: the model cannot be opened. For 30 seconds after a failure
                this is raised without another try.
        """
        key = model.name, model.address
        with self._lock:
            if key in self._open_models:
                return self._open_models[key]
            failure = self._failures.get(key)
            if failure is not None and time.monotonic() - failure[0] < _RETRY_SECONDS:
                raise failure[1]
            try:
                config = self._config.for_stored_model(model.name, model.address)
                opened = open_embedding_model(config, self._data_dir, self._built_in)
            except EmbeddingModelUnavailable as error:
                _log.warning("%s", error)
                self._failures[key] = time.monotonic(), error
                raise
            self._open_models[key] = opened
            return opened
