"""Registry of embedding models: which one serves a tenant, and which one will replace it.

Without a configured model, the built-in model for English serves a tenant until its documents, or
a question, are in another language. Then the multilingual model embeds all of the tenant's chunks
and replaces it.
"""

import logging
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from backend.ai.embedding import (
    BUILT_IN,
    MULTILINGUAL,
    BuiltInEmbedder,
    EmbeddingConfig,
    EmbeddingModel,
    EmbeddingModelUnavailable,
    MultilingualEmbedder,
    open_embedding_model,
)
from backend.chassis.database.sessions import Database, Session, acquire_transaction_lock
from backend.services.rag.store import embeddings as store
from backend.services.rag.store import multilingual_tenants as tenant_store
from backend.services.rag.store.base import new_id, utc_now
from backend.services.rag.store.embeddings import EmbeddingModelRow, ModelState, TenantScope
from backend.services.rag.store.multilingual_tenants import (
    SERVED_STATES,
    MultilingualTenantRow,
    TenantState,
)

MODELS_LOCK = "rag embedding models"
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
        scope: the tenants whose documents it embeds.
    """

    id: str
    name: str
    address: str | None
    suffix: str
    state: ModelState
    scope: TenantScope = "all"

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


class _Current(NamedTuple):
    """The content of the tables at one time of the monotonic clock."""

    read_at: float
    models: tuple[StoredModel, ...]
    tenants: Mapping[str, TenantState]


_UNREAD = _Current(float("-inf"), (), {})


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
        multilingual: MultilingualEmbedder | None = None,
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
        self._multilingual = multilingual or MultilingualEmbedder()
        self._lock = threading.Lock()
        self._open_models: dict[tuple[str, str | None], EmbeddingModel] = {}
        self._failures: dict[tuple[str, str | None], tuple[float, EmbeddingModelUnavailable]] = {}
        self._current = _UNREAD

    @property
    def chooses_by_language(self) -> bool:
        """True if the languages of a tenant determine its model. Otherwise one serves them all."""
        return self._config.chooses_by_language

    def activate_configured_model(self) -> None:
        """Record that the configured model is to serve searches.

        A new model has the state "building" and serves when it has embedded all chunks. Vectors
        in a vector store of another kind are considered missing and are embedded again.
        """
        with self._database.write() as session:
            acquire_transaction_lock(session, MODELS_LOCK)
            for row in store.list_models(session, "building"):
                if row.name != self._config.name:
                    row.state, row.since = "leaving", utc_now()
            rows = store.list_models(session, "serving", "building", "selected", "leaving")
            configured = next((row for row in rows if row.name == self._config.name), None)
            if configured is None:
                configured = self._add_model(session, self._config.name, "building")
            elif configured.state == "leaving":
                configured.state = "building"
            configured.address = self._config.address
            for row in rows:
                if row.store != self.store:
                    store.delete_model_embeddings(session, row.id)
                    row.store = self.store
            if configured.state == "building":
                _log.info("embedding all chunks with %s", configured.name)
        self.refresh()

    def select_multilingual(self, tenant_id: str) -> None:
        """Record that the multilingual model is to serve the tenant.

        It serves at once if the tenant has no documents, otherwise when it has embedded all chunks.
        """
        if not self.chooses_by_language or tenant_id in self._read_current().tenants:
            return
        if not self._multilingual.is_installed():
            _log.warning("the multilingual embedding model is not installed")
            return
        with self._database.write() as session:
            acquire_transaction_lock(session, MODELS_LOCK)
            if session.get(MultilingualTenantRow, tenant_id) is not None:
                return
            rows = store.list_models(session, "serving", "selected", "leaving")
            model = next((row for row in rows if row.name == MULTILINGUAL), None)
            if model is None:
                self._add_model(session, MULTILINGUAL, "selected")
            elif model.state == "leaving":
                model.state = "selected"
            has_documents = tenant_store.has_visible_documents(session, tenant_id)
            state: TenantState = "building" if has_documents else "complete"
            session.add(MultilingualTenantRow(tenant_id=tenant_id, state=state))
        self.refresh()
        _log.info("the multilingual embedding model is used for the tenant %s", tenant_id)

    def set_serving(
        self, session: Session, rows: Sequence[EmbeddingModelRow], model_id: str
    ) -> bool:
        """Let one of *rows* serve all tenants that the multilingual model does not serve.

        The multilingual model stays for the tenants that need it, unless another one is configured.

        Returns:
            False if there is nothing to change.
        """
        current = next(row for row in rows if row.id == model_id)
        replaced = self._list_replaced(session, rows, current)
        if current.state == "serving" and not replaced:
            return False
        for row in rows:
            if row is not current:
                row.state = "leaving" if row in replaced else "selected"
                row.since = utc_now()
        current.state, current.since = "serving", utc_now()
        if not self.chooses_by_language:
            tenant_store.delete_tenants(session)
        return True

    def _list_replaced(
        self, session: Session, rows: Sequence[EmbeddingModelRow], current: EmbeddingModelRow
    ) -> list[EmbeddingModelRow]:
        """Return those of *rows* that no tenant uses after *current* serves."""
        others = [row for row in rows if row is not current]
        if self.chooses_by_language:
            needs_multilingual = bool(tenant_store.get_states(session))
            others = [
                row for row in others if not (row.name == MULTILINGUAL and needs_multilingual)
            ]
        if current.state == "serving":
            # It replaces only what served some tenants before it was configured.
            is_configured = current.name == self._config.name and not self.chooses_by_language
            return [row for row in others if row.state == "selected" and is_configured]
        return others

    def _add_model(self, session: Session, name: str, state: ModelState) -> EmbeddingModelRow:
        row = EmbeddingModelRow(name=name, suffix=new_id("emb")[-8:], store=self.store, state=state)
        session.add(row)
        return row

    def get_serving_model(self, tenant_id: str) -> StoredModel:
        """Return the model that searches of the tenant use."""
        models, tenants = self._read_current()[1:]
        is_multilingual = tenants.get(tenant_id) in SERVED_STATES
        return next(
            model
            for model in models
            if (model.name == MULTILINGUAL if is_multilingual else model.state == "serving")
        )

    def get_multilingual_model(self) -> StoredModel | None:
        """Return the multilingual model, or None if no tenant uses it."""
        models = self.list_current_models()
        return next((model for model in models if model.name == MULTILINGUAL), None)

    def read_serving_model_id(self, session: Session, tenant_id: str) -> str | None:
        """Return the id of the model that searches of the tenant use, in the session's view."""
        tenant = session.get(MultilingualTenantRow, tenant_id)
        is_multilingual = tenant is not None and tenant.state in SERVED_STATES
        rows = store.list_models(session, "serving", "building", "selected")
        return next(
            (
                row.id
                for row in rows
                if (row.name == MULTILINGUAL if is_multilingual else row.state == "serving")
            ),
            None,
        )

    def list_models_to_index(self, tenant_id: str) -> list[StoredModel]:
        """Return the models that embed new documents of the tenant: serving and pending."""
        models, tenants = self._read_current()[1:]
        serving = self.get_serving_model(tenant_id)
        pending = {"building", "selected"} if tenant_id in tenants else {"building"}
        return [model for model in models if model == serving or model.state in pending]

    def load_models_to_index(self, tenant_id: str) -> None:
        """Load the models of `list_models_to_index` that run in this process.

        Raises:
            ModelFilesError: one is not installed.
        """
        for model in self.list_models_to_index(tenant_id):
            if model.name == BUILT_IN:
                self._built_in.load()
            elif model.name == MULTILINGUAL:
                self._multilingual.load()

    def list_multilingual_tenants(self) -> Collection[str]:
        """Return the tenants that the multilingual model serves or will serve."""
        return self._read_current().tenants.keys()

    def list_current_models(self) -> tuple[StoredModel, ...]:
        """Return all models that serve or will serve a tenant."""
        return self._read_current().models

    def refresh(self) -> None:
        """Read the tables again before the next use, after this process has changed them."""
        self._current = _UNREAD

    def _read_current(self) -> _Current:
        current = self._current
        if time.monotonic() - current.read_at > REFRESH_SECONDS:
            with self._database.read() as session:
                models = tuple(
                    StoredModel(
                        row.id, row.name, row.address, row.suffix, row.state, self.get_scope(row)
                    )
                    for row in store.list_models(session, "serving", "building", "selected")
                )
                tenants = tenant_store.get_states(session)
            self._current = current = _Current(time.monotonic(), models, tenants)
        return current

    def get_scope(self, row: EmbeddingModelRow) -> TenantScope:
        """Return the tenants whose documents the model of *row* embeds."""
        if row.state == "selected":
            return "multilingual"
        # Without a configured model, the model for English is not needed where the other serves.
        return "others" if self.chooses_by_language and row.name == BUILT_IN else "all"

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
                opened = open_embedding_model(
                    config, self._data_dir, self._built_in, self._multilingual
                )
            except EmbeddingModelUnavailable as error:
                _log.warning("%s", error)
                self._failures[key] = time.monotonic(), error
                raise
            self._open_models[key] = opened
            return opened
