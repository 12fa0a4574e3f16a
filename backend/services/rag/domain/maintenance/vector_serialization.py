"""Serialization of vectors for backups.

A document is a line of JSON followed by its vectors. The line contains partition, document id,
generation, the ordinals of the chunks, and the dimension (`rows`). The vectors are 32-bit floats
in little-endian order.
"""

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from backend.services.rag.store.chunks import build_chunk_id
from backend.services.rag.store.vectors import Vector, Vectors

_FLOAT = np.dtype("<f4")


class DocumentVectors(NamedTuple):
    """Vectors of one document's chunks; *rows* has one row per ordinal."""

    # Backups contain these names. Renaming one makes existing backups unreadable.
    partition: str
    document_id: str
    generation: int
    ordinals: list[int]
    rows: Vectors

    @property
    def ids(self) -> list[str]:
        return [
            build_chunk_id(self.document_id, self.generation, ordinal) for ordinal in self.ordinals
        ]


def collect_document_vectors(
    partition: str, document_id: str, generation: int, chunks: int, vectors: Mapping[str, Vector]
) -> DocumentVectors | None:
    """Return the vectors of the document's first *chunks* chunks. *vectors* are by chunk id.

    Returns None if there are none.
    """
    present = [
        (ordinal, row)
        for ordinal in range(chunks)
        if (row := vectors.get(build_chunk_id(document_id, generation, ordinal))) is not None
    ]
    if not present:
        return None
    ordinals = [ordinal for ordinal, _ in present]
    rows = np.stack([row for _, row in present])
    return DocumentVectors(partition, document_id, generation, ordinals, rows)


def serialize_vectors(documents: Iterable[DocumentVectors]) -> bytes:
    out = io.BytesIO()
    for document in documents:
        header = {**document._asdict(), "rows": document.rows.shape[1]}
        out.write(json.dumps(header).encode() + b"\n")
        out.write(document.rows.astype(_FLOAT).tobytes())
    return out.getvalue()


def deserialize_vectors(content: bytes) -> Iterator[DocumentVectors]:
    """Yield the documents written by `serialize_vectors`. Raises ValueError for damaged data."""
    source = io.BytesIO(content)
    while line := source.readline():
        header: dict[str, Any] = json.loads(line)
        dimension = int(header["rows"])
        ordinals = [int(ordinal) for ordinal in header["ordinals"]]
        raw = source.read(dimension * len(ordinals) * _FLOAT.itemsize)
        rows = np.frombuffer(raw, _FLOAT).reshape(len(ordinals), dimension).astype(np.float32)
        yield DocumentVectors(
            str(header["partition"]),
            str(header["document_id"]),
            int(header["generation"]),
            ordinals,
            rows,
        )
