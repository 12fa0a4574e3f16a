"""The counted words, as processes that share the tables see them."""

from sqlalchemy import delete, select, update

from backend.chassis.database.sessions import open_database
from backend.services.rag.domain.words import WordCounts
from backend.services.rag.store import changes
from backend.services.rag.store.collections import CollectionRow
from backend.services.rag.store.keywords import KeywordIndexes
from backend.services.rag.store.postings import PostingsRow
from tests.databases import database_in
from tests.services.rag.conftest import Person


class OtherProcess:
    """Keyword search beside the service, over its tables alone."""

    def __init__(self, folder, embedder):
        self.database = open_database(database_in(folder, "rag"), "rag").across_tenants()
        counts = WordCounts(self.database, embedder.tokens.spans)
        self.indexes = KeywordIndexes(counts.update, most=1000)

    def found(self, query, collection="default"):
        named = select(CollectionRow.id, CollectionRow.version)
        with self.database.read() as session:
            row = session.execute(named.where(CollectionRow.name == collection)).one()
        return len(self.indexes.best(row.id, row.version, query, 10))


def test_another_process_sees_what_is_added_moved_and_deleted(ada: Person, tmp_path, embedder):
    other = OtherProcess(tmp_path, embedder)
    first = ada.upload("The runway is long.")
    assert other.found("runway") == 1

    second = ada.upload("A second runway.", "second.txt")
    assert other.found("runway") == 2

    ada("DELETE", f"/documents/{first['id']}")
    assert other.found("runway") == 1

    ada.upload("Rye bread.", "bread.txt", collection="food")
    assert other.found("runway", "food") == 0
    ada("PATCH", f"/documents/{second['id']}", json={"collection": "food"})
    assert (other.found("runway"), other.found("runway", "food")) == (0, 1)


def test_who_has_missed_too_much_reads_the_collection_anew(ada: Person, tmp_path, embedder):
    other = OtherProcess(tmp_path, embedder)
    ada.upload("The runway is long.")
    assert other.found("runway") == 1

    ada.upload("A second runway.", "second.txt")
    ada.upload("A third runway.", "third.txt")
    with other.database.write() as session:
        session.execute(delete(changes.ChangeRow).where(changes.ChangeRow.version == 2))

    assert other.found("runway") == 3


def test_words_counted_in_another_way_are_counted_anew(ada: Person, tmp_path, embedder):
    other = OtherProcess(tmp_path, embedder)
    ada.upload("The runway is long.")
    with other.database.write() as session:
        session.execute(update(PostingsRow).values(edition=0, keys=b""))

    assert other.found("runway") == 1
