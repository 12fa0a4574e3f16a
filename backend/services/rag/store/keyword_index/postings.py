"""Stored postings: the terms of each document's chunks, counted once during ingestion.

A posting is a 64-bit integer: 38 bits hash of the term, 20 bits ordinal of the chunk, 6 bits number
of occurrences. Sorted postings are grouped by term, so an index is loaded by sorting integers,
without tokenizing any text.
"""

import hashlib
import logging
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from sqlalchemy import ColumnElement, ForeignKey, LargeBinary, String, Text, delete, insert, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.ai.text.compounds import find_long_words
from backend.ai.text.languages import detect_language
from backend.ai.text.terms import (
    COMPATIBLE_TERMS_VERSION,
    TERM_LANGUAGES,
    TERMS_VERSION,
    extract_terms,
)
from backend.chassis.data_encryption.columns import open_row
from backend.chassis.encryption import DamagedValue
from backend.services.rag.store.base import Base, is_old_generation
from backend.services.rag.store.documents import DocumentRow, id_conditions, seal_rows

_log = logging.getLogger(__name__)
COUNT_BITS = 6
CHUNK_BITS = 20
# Higher counts hardly change a BM25 score.
MAX_COUNT = 2**COUNT_BITS - 1
# Stands for the language of chunks whose terms are of an older version.
OLD_CHUNKS: Final = "old"
_HASH_BITS = 64 - COUNT_BITS - CHUNK_BITS


class Postings(NamedTuple):
    """Postings of one document.

    *lengths* is the number of terms of each chunk (little-endian uint32), *keys* are the sorted
    postings (little-endian uint64). *long_words* are the words that can be compounds, one per line.
    They are stored because the keys contain only hashes, in which no parts can be found.
    """

    document_id: str
    generation: int
    lengths: bytes
    keys: bytes
    long_words: str


class PostingsRow(Base):
    __tablename__ = "keyword_postings"

    document_id: Mapped[str] = mapped_column(
        ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True
    )
    generation: Mapped[int] = mapped_column(primary_key=True)
    # TERMS_VERSION of the tokenizer. Postings of versions before COMPATIBLE_TERMS_VERSION do not
    # match current queries.
    edition: Mapped[int]
    lengths: Mapped[bytes] = mapped_column(LargeBinary)
    keys: Mapped[bytes] = mapped_column(LargeBinary)
    long_words: Mapped[str] = mapped_column(Text)
    # Data key with which the long words are encrypted.
    data_key_id: Mapped[str | None] = mapped_column(String(40))


def build_postings(document_id: str, generation: int, texts: Iterable[str]) -> Postings:
    """Return the postings of a document. *texts* are its chunks in order.

    The terms of a chunk are those of its language, which is stored as a posting too.
    """
    lengths: list[int] = []
    keys = array("Q")
    long_words: set[str] = set()
    texts = list(texts)
    for ordinal, (text, language) in enumerate(zip(texts, _detect_languages(texts), strict=True)):
        counts = Counter(extract_terms(text, language))
        long_words.update(find_long_words(text))
        lengths.append(counts.total())
        counts[get_language_term(language if language in TERM_LANGUAGES else "")] = 1
        keys.extend(
            hash_term(term) << (CHUNK_BITS + COUNT_BITS)
            | ordinal << COUNT_BITS
            | min(count, MAX_COUNT)
            for term, count in counts.items()
        )
    return Postings(
        document_id,
        generation,
        np.array(lengths, "<u4").tobytes(),
        np.sort(np.frombuffer(keys, "u8").astype("<u8")).tobytes(),
        "\n".join(sorted(long_words)),
    )


def get_language_term(language: str) -> str:
    """Return the term of all chunks in *language*. No word of a text is equal to it.

    Chunks of TERMS_VERSION have one such term, older ones have none.
    """
    return f" language:{language}"


def _detect_languages(texts: Sequence[str]) -> list[str]:
    """Return the language of each chunk of a document.

    That of the most other chunks stands for the language of a chunk without sentences.
    """
    languages = list(map(detect_language, texts))
    known = Counter(filter(None, languages))
    main_language = known.most_common(1)[0][0] if known else ""
    return [language or main_language for language in languages]


@lru_cache(maxsize=100_000)
def hash_term(term: str) -> int:
    """Return the hash of *term*. Among a million terms, a collision has a probability of 1 in 6."""
    digest = hashlib.blake2b(term.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> (64 - _HASH_BITS)


def save_postings(session: Session, postings: Postings) -> None:
    """Insert *postings*, replacing those of the same document and generation."""
    session.execute(
        delete(PostingsRow).where(
            PostingsRow.document_id == postings.document_id,
            PostingsRow.generation == postings.generation,
        )
    )
    row = {"edition": TERMS_VERSION, **postings._asdict()}
    session.execute(insert(PostingsRow), seal_rows(session, PostingsRow, [row]))


def delete_old_postings(
    session: Session, document_id: str, keep_generation: int, *, keep_newer: bool
) -> None:
    """Delete the postings of other generations than *keep_generation*.

    Args:
        keep_newer: keep the postings of later generations too.
    """
    is_old = is_old_generation(PostingsRow.generation, keep_generation, keep_newer=keep_newer)
    session.execute(delete(PostingsRow).where(PostingsRow.document_id == document_id, is_old))


def iterate_postings(
    session: Session, collection_id: str, document_ids: Sequence[str] | None = None
) -> Iterator[Postings]:
    """Yield the postings of the visible generations in a collection.

    Args:
        document_ids: restricts the result to these documents.
    """
    query = (
        select(
            PostingsRow.document_id,
            PostingsRow.generation,
            PostingsRow.lengths,
            PostingsRow.keys,
            PostingsRow.long_words,
            PostingsRow.data_key_id,
        )
        .join(DocumentRow, DocumentRow.id == PostingsRow.document_id)
        .where(
            DocumentRow.collection_id == collection_id,
            DocumentRow.generation == PostingsRow.generation,
            _is_compatible(),
        )
        .execution_options(yield_per=1000)
    )
    queries = [query] if document_ids is None else map(query.where, id_conditions(document_ids))
    for batch in queries:
        for row in session.execute(batch):
            yield _open_postings(session, row._mapping)


def _open_postings(session: Session, row: Mapping[str, Any]) -> Postings:
    try:
        opened = open_row(session, PostingsRow, row)
    except DamagedValue as error:
        # Parts of compounds are then not found in this document.
        _log.error("the long words of a document are damaged", extra={"context": str(error)})
        opened = {**row, "long_words": ""}
    return Postings(*(opened[name] for name in Postings._fields))


def list_unindexed_documents(session: Session, collection_id: str) -> Sequence[tuple[str, int]]:
    """Return id and visible generation of documents without postings that can be searched."""
    usable_postings = select(PostingsRow.document_id).where(
        PostingsRow.document_id == DocumentRow.id,
        PostingsRow.generation == DocumentRow.generation,
        _is_compatible(),
    )
    query = select(DocumentRow.id, DocumentRow.generation).where(
        DocumentRow.collection_id == collection_id,
        DocumentRow.generation > 0,
        ~usable_postings.exists(),
    )
    return [(row[0], row[1]) for row in session.execute(query)]


def list_outdated_documents(session: Session, limit: int) -> Sequence[tuple[str, str, int]]:
    """Return up to *limit* documents with postings of an older version than TERMS_VERSION.

    Each is described by its collection, its id and its visible generation.
    """
    query = (
        select(DocumentRow.collection_id, DocumentRow.id, DocumentRow.generation)
        .join(PostingsRow, PostingsRow.document_id == DocumentRow.id)
        .where(
            PostingsRow.generation == DocumentRow.generation,
            PostingsRow.edition < TERMS_VERSION,
        )
        .limit(limit)
    )
    return [(row[0], row[1], row[2]) for row in session.execute(query)]


def _is_compatible() -> ColumnElement[bool]:
    return PostingsRow.edition.between(COMPATIBLE_TERMS_VERSION, TERMS_VERSION)
