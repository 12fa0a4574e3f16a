"""Keyword index updates in another process that shares the tables."""

import pytest
from sqlalchemy import delete, select, update

from backend.ai.text.terms import COMPATIBLE_TERMS_VERSION
from backend.chassis.database.sessions import open_database
from backend.services.rag.domain.search.word_counts import WordCounts
from backend.services.rag.store import collection_changes
from backend.services.rag.store.collections import CollectionRow
from backend.services.rag.store.keyword_index import postings
from backend.services.rag.store.keyword_index.index import KeywordIndexCache
from backend.services.rag.store.keyword_index.postings import PostingsRow
from tests.databases import database_in
from tests.services.rag.conftest import ApiUser


class OtherProcess:
    """Keyword search in another process, with access to the tables only."""

    def __init__(self, folder, embedder):
        self.database = open_database(database_in(folder, "rag"), "rag").across_tenants()
        counts = WordCounts(self.database, embedder.tokenizer.find_token_spans)
        self.indexes = KeywordIndexCache(counts.load_index_update, max_chunks=1000)

    def count_hits(self, query, collection="default"):
        statement = select(CollectionRow.id, CollectionRow.version)
        with self.database.read() as session:
            row = session.execute(statement.where(CollectionRow.name == collection)).one()
        return len(self.indexes.search_chunks(row.id, row.version, query, 10))


def test_other_process_sees_added_moved_and_deleted_documents(ada: ApiUser, tmp_path, embedder):
    other = OtherProcess(tmp_path, embedder)
    first = ada.upload("The runway is long.")
    assert other.count_hits("runway") == 1

    second = ada.upload("A second runway.", "second.txt")
    assert other.count_hits("runway") == 2

    ada("DELETE", f"/documents/{first['id']}")
    assert other.count_hits("runway") == 1

    ada.upload("Rye bread.", "bread.txt", collection="food")
    assert other.count_hits("runway", "food") == 0
    ada("PATCH", f"/documents/{second['id']}", json={"collection": "food"})
    assert (other.count_hits("runway"), other.count_hits("runway", "food")) == (0, 1)


def test_index_is_reloaded_when_changes_are_no_longer_recorded(ada: ApiUser, tmp_path, embedder):
    other = OtherProcess(tmp_path, embedder)
    ada.upload("The runway is long.")
    assert other.count_hits("runway") == 1

    ada.upload("A second runway.", "second.txt")
    ada.upload("A third runway.", "third.txt")
    with other.database.write() as session:
        session.execute(
            delete(collection_changes.CollectionChangeRow).where(
                collection_changes.CollectionChangeRow.version == 2
            )
        )

    assert other.count_hits("runway") == 3


def test_words_are_recounted_after_a_change_of_edition(ada: ApiUser, tmp_path, embedder):
    other = OtherProcess(tmp_path, embedder)
    ada.upload("The runway is long.")
    with other.database.write() as session:
        session.execute(update(PostingsRow).values(edition=0, keys=b""))

    assert other.count_hits("runway") == 1


@pytest.mark.slow
def test_counts_of_previous_version_are_found_and_then_recounted(
    ada: ApiUser, tmp_path, embedder, monkeypatch
):
    other = OtherProcess(tmp_path, embedder)
    monkeypatch.setattr(postings, "_detect_languages", lambda texts: [""] * len(texts))
    ada.upload("Die Häuser werden im Frühjahr von den Mietern gestrichen.")
    monkeypatch.undo()
    with other.database.write() as session:
        session.execute(update(PostingsRow).values(edition=COMPATIBLE_TERMS_VERSION))
    assert other.count_hits("Wann werden die Häuser gestrichen?") == 1
    assert other.count_hits("Haus") == 0

    counts = WordCounts(other.database, embedder.tokenizer.find_token_spans)
    assert counts.recount_time_slice()

    assert not counts.recount_time_slice()
    assert other.count_hits("Wann wird das Haus gestrichen?") == 1
