"""Stand-ins for an embedding model and for the chunks that services retrieve."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


class WordEmbedder:
    """Embeds texts by their words: texts are similar if they share words."""

    def encode(self, texts):
        rows = np.zeros((len(texts), 256), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in "".join(c if c.isalnum() else " " for c in text.lower()).split():
                row[sum(word.encode()) * 31 % 256] += 1
            row /= np.linalg.norm(row) or 1
        return rows


@dataclass(frozen=True)
class StoredChunk:
    """A chunk as the retrieval of a service returns it."""

    text: str
    document_id: str = "doc_1"
    filename: str = "lease.pdf"
    page: int | None = 2
    start: int = 0
    title: str = ""
    section: str = ""
    headings: Sequence[str] = ()
    table_header: str = ""
