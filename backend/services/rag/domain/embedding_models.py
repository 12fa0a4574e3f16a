"""Which embedding model serves, which is to follow it, and how each is opened."""

import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from backend.ai.embedding import (
    Embedder,
    EmbeddingModel,
    ModelChoice,
    ModelUnavailable,
    open_model,
)
from backend.chassis.database.sessions import Database, Session, take_turns
from backend.services.rag.store import embeddings as store
from backend.services.rag.store.base import new_id, utc_now
from backend.services.rag.store.embeddings import ModelRow, State

_log = logging.getLogger(__name__)
# For how long a process may go on with the model that served before it looks again.
LOOK_AGAIN_SECONDS = 1.0
_TRY_AGAIN_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Known:
    """A model as the tables know it."""

    id: str
    name: str
    address: str | None
    suffix: str
    state: State

    @property
    def is_remote(self) -> bool:
        """Whether a server is asked for its vectors."""
        return self.address is not None and self.address.startswith("http")

    def partition(self, collection_id: str) -> str:
        """Where the vectors lie that it makes for the collection."""
        return partition_of(collection_id, self.suffix)

    def owns(self, partition: str) -> bool:
        return partition.partition(".")[2] == self.suffix


def partition_of(collection_id: str, suffix: str) -> str:
    """Where the vectors lie that the model with *suffix* makes for the collection."""
    return f"{collection_id}.{suffix}" if suffix else collection_id


class EmbeddingModels:
    """Says for each moment which models there are, the same in every process."""

    def __init__(
        self,
        database: Database,
        choice: ModelChoice,
        data_dir: Path,
        built_in: Embedder,
        *,
        store: str,
    ) -> None:
        """*database* sees all tenants' rows; *store* is the kind of store that is in use."""
        self._database = database
        self._choice = choice
        self.store = store
        self._data_dir = data_dir
        self._built_in = built_in
        self._lock = threading.Lock()
        self._opened: dict[tuple[str, str | None], EmbeddingModel] = {}
        self._refused: dict[tuple[str, str | None], tuple[float, ModelUnavailable]] = {}
        self._seen: tuple[float, tuple[Known, ...]] = (float("-inf"), ())

    def settle(self) -> None:
        """Let the chosen model serve: at once where it does, else when it knows everything.

        What lies in a store of another kind counts as not there, and is embedded again.
        """
        with self._database.write() as session:
            take_turns(session, "rag embedding models")
            for row in store.models(session, "building"):
                if row.name != self._choice.name:
                    row.state, row.since = "leaving", utc_now()
            known = store.models(session, "serving", "building", "leaving")
            chosen = next((row for row in known if row.name == self._choice.name), None)
            if chosen is None:
                chosen = self._add(session)
            elif chosen.state == "leaving":
                chosen.state = "building"
            chosen.address = self._choice.address
            for row in known:
                if row.store != self.store:
                    store.forget_all(session, row.id)
                    row.store = self.store
            if chosen.state == "building":
                _log.info("embedding everything anew with %s", chosen.name)
        self._seen = (float("-inf"), ())

    def _add(self, session: Session) -> ModelRow:
        row = ModelRow(
            name=self._choice.name,
            suffix=new_id("emb")[-8:],
            store=self.store,
            state="building",
        )
        session.add(row)
        return row

    def serving(self) -> Known:
        return next(known for known in self.current() if known.state == "serving")

    def current(self) -> tuple[Known, ...]:
        """What serves, and what is to follow it."""
        seen, known = self._seen
        if time.monotonic() - seen > LOOK_AGAIN_SECONDS:
            with self._database.read() as session:
                rows = store.models(session, "serving", "building")
                known = tuple(
                    Known(row.id, row.name, row.address, row.suffix, row.state) for row in rows
                )
            self._seen = time.monotonic(), known
        return known

    def open(self, known: Known) -> EmbeddingModel:
        """The model itself, or ModelUnavailable; one that was is not tried again at once."""
        key = known.name, known.address
        with self._lock:
            if key in self._opened:
                return self._opened[key]
            refused = self._refused.get(key)
            if refused is not None and time.monotonic() - refused[0] < _TRY_AGAIN_SECONDS:
                raise refused[1]
            try:
                choice = self._choice.known_as(known.name, known.address)
                self._opened[key] = open_model(choice, self._data_dir, self._built_in)
            except ModelUnavailable as trouble:
                _log.warning("%s", trouble)
                self._refused[key] = time.monotonic(), trouble
                raise
            return self._opened[key]
