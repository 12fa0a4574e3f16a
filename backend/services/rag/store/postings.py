"""The words of each document's passages, counted once when it is read and kept beside them.

A posting is one number: 38 bits of the term's hash, 20 of the passage, 6 of how often the
passage says it. Sorted as they are, the postings of a term stand together, so that an index
opens by sorting what it read and takes no text apart.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from sqlalchemy import ForeignKey, LargeBinary, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.services.rag.store.base import Base
from backend.services.rag.store.documents import DocumentRow, any_of
from backend.services.rag.store.words import EDITION, words

COUNT_BITS = 6
PLACE_BITS = 20
# Of more repetitions BM25 would hardly take notice.
MOST_COUNTED = 2**COUNT_BITS - 1
_HASH_BITS = 64 - COUNT_BITS - PLACE_BITS


class Postings(NamedTuple):
    """One document's: how many terms each passage has (uint32), and the postings (uint64)."""

    document_id: str
    generation: int
    lengths: bytes
    keys: bytes


class PostingsRow(Base):
    __tablename__ = "keyword_postings"

    document_id: Mapped[str] = mapped_column(
        ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True
    )
    generation: Mapped[int] = mapped_column(primary_key=True)
    # Which edition of `words` counted them; those of another do not fit a query of today.
    edition: Mapped[int]
    lengths: Mapped[bytes] = mapped_column(LargeBinary)
    keys: Mapped[bytes] = mapped_column(LargeBinary)


def counted(document_id: str, generation: int, texts: Iterable[str]) -> Postings:
    """The postings of the document's passages, whose texts come in order."""
    lengths: list[int] = []
    keys: list[int] = []
    for place, text in enumerate(texts):
        terms = words(text)
        lengths.append(len(terms))
        keys.extend(
            term_hash(term) << (PLACE_BITS + COUNT_BITS)
            | place << COUNT_BITS
            | min(count, MOST_COUNTED)
            for term, count in Counter(terms).items()
        )
    return Postings(
        document_id,
        generation,
        np.array(lengths, "<u4").tobytes(),
        np.sort(np.array(keys, "<u8")).tobytes(),
    )


@lru_cache(maxsize=100_000)
def term_hash(term: str) -> int:
    """The term as a number. Of a million terms, two share one with a chance of 1 in 6."""
    digest = hashlib.blake2b(term.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> (64 - _HASH_BITS)


def keep(session: Session, postings: Postings) -> None:
    """Put *postings* in the place of what was kept for that generation."""
    session.execute(
        delete(PostingsRow).where(
            PostingsRow.document_id == postings.document_id,
            PostingsRow.generation == postings.generation,
        )
    )
    session.add(PostingsRow(edition=EDITION, **postings._asdict()))
    session.flush()


def drop(session: Session, document_id: str, but_generation: int) -> None:
    """Forget the postings of every generation but one."""
    session.execute(
        delete(PostingsRow).where(
            PostingsRow.document_id == document_id, PostingsRow.generation != but_generation
        )
    )


def shown(
    session: Session, collection_id: str, documents: Sequence[str] | None = None
) -> Iterator[Postings]:
    """The postings of what the collection shows; of *documents* alone where they are given."""
    query = (
        select(
            PostingsRow.document_id,
            PostingsRow.generation,
            PostingsRow.lengths,
            PostingsRow.keys,
        )
        .join(DocumentRow, DocumentRow.id == PostingsRow.document_id)
        .where(
            DocumentRow.collection_id == collection_id,
            DocumentRow.generation == PostingsRow.generation,
            PostingsRow.edition == EDITION,
        )
        .execution_options(yield_per=1000)
    )
    parts = [query] if documents is None else map(query.where, any_of(documents))
    for part in parts:
        yield from map(Postings._make, session.execute(part))


def uncounted(session: Session, collection_id: str) -> Sequence[tuple[str, int]]:
    """Documents, and the generation they show, whose words no present edition has counted."""
    counted_now = select(PostingsRow.document_id).where(
        PostingsRow.document_id == DocumentRow.id,
        PostingsRow.generation == DocumentRow.generation,
        PostingsRow.edition == EDITION,
    )
    query = select(DocumentRow.id, DocumentRow.generation).where(
        DocumentRow.collection_id == collection_id,
        DocumentRow.generation > 0,
        ~counted_now.exists(),
    )
    return [(row[0], row[1]) for row in session.execute(query)]
