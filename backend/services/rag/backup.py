"""The library's originals and vectors, on their way into a backup and out of one.

rag/blobs/BLOB/SHA256      an original
rag/vectors/MODEL/NUMBER   vectors of passages that are shown (domain/packed_vectors.py)
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from itertools import count
from typing import NoReturn

from sqlalchemy import Connection

from backend.chassis.backup_archive import Member, Packing
from backend.chassis.backup_contract import Belongings, Tell, Telling
from backend.chassis.console import CannotRun
from backend.chassis.settings import Env
from backend.services.rag.domain import packed_vectors
from backend.services.rag.domain.embedding_models import partition_of
from backend.services.rag.domain.packed_vectors import Packed
from backend.services.rag.domain.uploads import Blobs
from backend.services.rag.errors import VectorsUnavailable
from backend.services.rag.settings import Settings
from backend.services.rag.store import snapshot as store
from backend.services.rag.store.chunks import chunk_id
from backend.services.rag.store.snapshot import Embedded
from backend.services.rag.store.vectors import VectorStore
from backend.services.rag.store.vectors.opening import Place, open_vectors

_PASSAGES_AT_ONCE = 1000


class LibraryBelongings(Belongings):
    """Nothing is opened before it is used."""

    def __init__(self, blobs: Blobs, vectors: VectorStore, place: Place) -> None:
        self._blobs = blobs
        self._vectors = vectors
        self._place = place
        # How many vectors came out of a backup, by model and document.
        self._brought: Counter[tuple[str, str]] = Counter()
        self._emptied: set[str] = set()

    def held(self) -> AbstractContextManager[None]:
        return self._blobs.held()

    def pack(self, snapshot: Connection, packing: Packing, tell: Tell) -> list[str]:
        telling = Telling(tell)
        faults: list[str] = []
        files = missing = 0
        for original in store.originals(snapshot):
            name = f"rag/blobs/{original.blob}/{original.sha256}"
            try:
                with self._blobs.path(original.blob).open("rb") as source:
                    digest = packing.add_file(name, original.size, source)
            except FileNotFoundError:
                missing += 1
                faults.append(f"The original of {original.document_id} was missing.")
                continue
            if digest != original.sha256:
                faults.append(f"The original of {original.document_id} was damaged.")
            files += 1
            telling(f"rag: {files} originals")
        tell(f"rag: {files} originals")
        try:
            self._pack_vectors(snapshot, packing, tell)
        except VectorsUnavailable as trouble:
            _refuse(trouble)
        return faults

    def unpack(self, member: Member) -> None:
        _, kind, name, last = member.name.split("/")
        if kind == "blobs":
            self._blobs.put(name, iter(member.read, b""))
        elif kind == "vectors":
            try:
                self._put_vectors(name, member.whole())
            except VectorsUnavailable as trouble:
                _refuse(trouble)
        else:
            raise ValueError(f"nobody knows {member.name} ({last})")

    def settle(self, connection: Connection) -> list[str]:
        store.queue_unfinished(connection)
        lacking = store.know_only(connection, self._place.kind, self._brought)
        notes = [
            f"The original of {each.document_id} is missing: only its owner can bring it again."
            for each in store.originals(connection)
            if not self._blobs.path(each.blob).is_file()
        ]
        if lacking:
            notes.append(f"{lacking} documents are embedded anew in the background.")
        return notes

    def places(self) -> tuple[str, ...]:
        # A server's folder is its own, even if it lies beside: there it was asked for changes.
        own = () if self._place.url else (f"rag/{self._place.folder.name}",)
        return ("rag/blobs", *own)

    def close(self) -> None:
        self._vectors.close()

    def _pack_vectors(self, snapshot: Connection, packing: Packing, tell: Tell) -> None:
        telling, numbers, done = Telling(tell), count(), 0
        total = store.count_embedded(snapshot)
        for batch in _batches(store.embedded(snapshot)):
            parts = self._fetched(batch)
            done += sum(len(part.ordinals) for part in parts)
            if parts:
                number = next(numbers)
                name = f"rag/vectors/{batch[0].model_id}/{number:08}"
                packing.add(name, packed_vectors.written(parts))
            telling(f"rag: {done} of {total} vectors")
        tell(f"rag: {done} of {total} vectors")

    def _fetched(self, batch: list[Embedded]) -> list[Packed]:
        """The vectors of some documents in one partition."""
        partition = partition_of(batch[0].collection_id, batch[0].suffix)
        ids = [
            chunk_id(each.document_id, each.generation, ordinal)
            for each in batch
            for ordinal in range(each.chunks)
        ]
        found = self._vectors.fetch(partition, ids)
        gather = partial(packed_vectors.gathered, partition, found=found)
        parts = (gather(each.document_id, each.generation, each.chunks) for each in batch)
        return [part for part in parts if part is not None]

    def _put_vectors(self, model: str, content: bytes) -> None:
        for part in packed_vectors.read(content):
            if part.partition not in self._emptied:
                self._emptied.add(part.partition)
                self._vectors.drop(part.partition)
            self._vectors.add(
                part.partition, part.document_id, part.generation, part.ids, part.rows
            )
            self._brought[model, part.document_id] += len(part.ordinals)


def open_belongings(env: Env) -> LibraryBelongings:
    settings = Settings.from_env(env)
    blobs = Blobs(settings.folder / "blobs")
    return LibraryBelongings(blobs, open_vectors(settings.vectors), settings.vectors)


def _batches(embedded: Iterator[Embedded]) -> Iterator[list[Embedded]]:
    """Documents of one partition, about a thousand passages at a time."""
    batch: list[Embedded] = []
    passages = 0
    for each in embedded:
        elsewhere = batch and each.partition != batch[0].partition
        if elsewhere or passages >= _PASSAGES_AT_ONCE:
            yield batch
            batch, passages = [], 0
        batch.append(each)
        passages += each.chunks
    if batch:
        yield batch


def _refuse(trouble: VectorsUnavailable) -> NoReturn:
    raise CannotRun(
        f"The vectors cannot be reached, so nothing was done: {trouble.why} "
        "Start the vector store, or set VECTOR_STORE to one that answers."
    ) from trouble
