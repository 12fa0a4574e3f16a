"""Vectors in a backup: document by document, a line of JSON and the rows that it speaks of.

The line names partition, document and generation, the passages' ordinals in it, and how wide the
rows are; the rows are 32-bit floats, little end first.
"""

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from backend.services.rag.store.chunks import chunk_id
from backend.services.rag.store.vectors import Row, Rows

_FLOAT = np.dtype("<f4")


class Packed(NamedTuple):
    """Vectors of one document's passages."""

    partition: str
    document_id: str
    generation: int
    ordinals: list[int]
    rows: Rows

    @property
    def ids(self) -> list[str]:
        return [chunk_id(self.document_id, self.generation, each) for each in self.ordinals]


def gathered(
    partition: str, document_id: str, generation: int, chunks: int, found: Mapping[str, Row]
) -> Packed | None:
    """Those of the document's first *chunks* vectors that were *found*; None where none was."""
    there = [
        (ordinal, row)
        for ordinal in range(chunks)
        if (row := found.get(chunk_id(document_id, generation, ordinal))) is not None
    ]
    if not there:
        return None
    ordinals = [ordinal for ordinal, _ in there]
    return Packed(partition, document_id, generation, ordinals, np.stack([row for _, row in there]))


def written(parts: Iterable[Packed]) -> bytes:
    out = io.BytesIO()
    for part in parts:
        about = {**part._asdict(), "rows": part.rows.shape[1]}
        out.write(json.dumps(about).encode() + b"\n")
        out.write(part.rows.astype(_FLOAT).tobytes())
    return out.getvalue()


def read(content: bytes) -> Iterator[Packed]:
    """What `written` wrote, or ValueError."""
    source = io.BytesIO(content)
    while line := source.readline():
        about: dict[str, Any] = json.loads(line)
        width, ordinals = int(about["rows"]), [int(each) for each in about["ordinals"]]
        raw = source.read(width * len(ordinals) * _FLOAT.itemsize)
        rows = np.frombuffer(raw, _FLOAT).reshape(len(ordinals), width).astype(np.float32)
        yield Packed(
            str(about["partition"]),
            str(about["document_id"]),
            int(about["generation"]),
            ordinals,
            rows,
        )
