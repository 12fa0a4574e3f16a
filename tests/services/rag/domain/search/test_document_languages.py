"""Languages of the documents of chunks, which are read once for each generation."""

import pytest

from backend.chassis.database.sessions import open_database
from backend.services.rag.domain.search.document_languages import DocumentLanguages
from backend.services.rag.store.collections import CollectionRow
from backend.services.rag.store.documents import DocumentRow
from tests.databases import database_in


@pytest.fixture
def database(tmp_path):
    database = open_database(database_in(tmp_path, "rag"), "rag")
    database.migrate("rag")
    yield database
    database.engine.dispose()


def add_document(database, language):
    with database.write("tenant") as session:
        row = DocumentRow(
            collection=CollectionRow(
                tenant_id="tenant", owner_id="user", name=language or "unknown", grants=[]
            ),
            tenant_id="tenant",
            owner_id="user",
            filename="a.txt",
            title="",
            title_given=False,
            content_type="text/plain",
            size_bytes=1,
            sha256="0" * 64,
            blob="a",
            attributes={},
            language=language,
        )
        session.add(row)
        session.flush()
        return row.id


def set_language(database, document_id, language):
    with database.write("tenant") as session:
        session.get(DocumentRow, document_id).language = language


def chunk_ids(document_id, generation, count):
    return [f"chk_{document_id.partition('_')[2]}.{generation}.{n}" for n in range(count)]


def test_language_belongs_to_all_chunks_of_a_document(database):
    english, arabic = add_document(database, "en"), add_document(database, "ar")
    chunks = chunk_ids(english, 1, 2) + chunk_ids(arabic, 1, 1)

    found = DocumentLanguages(database).get_languages("tenant", chunks)

    assert list(map(found.get, chunks)) == ["en", "en", "ar"]


def test_language_of_a_new_generation_replaces_that_of_the_previous_one(database):
    document, languages = add_document(database, "en"), DocumentLanguages(database)
    (old,), (new,) = chunk_ids(document, 1, 1), chunk_ids(document, 2, 1)
    assert languages.get_languages("tenant", [old]) == {old: "en"}

    set_language(database, document, "de")

    assert languages.get_languages("tenant", [new]) == {new: "de"}


def test_language_that_was_unknown_is_found_after_its_detection(database):
    document, languages = add_document(database, ""), DocumentLanguages(database)
    (chunk,) = chunk_ids(document, 1, 1)
    assert languages.get_languages("tenant", [chunk]) == {chunk: ""}

    set_language(database, document, "en")

    assert languages.get_languages("tenant", [chunk]) == {chunk: "en"}
