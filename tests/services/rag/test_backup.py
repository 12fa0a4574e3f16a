"""A library in a backup: what is deleted, read or embedded meanwhile, and in another store."""

import pytest
import sqlalchemy as sa

from backend.chassis.database.sessions import open_database
from backend.operations.backup.__main__ import main
from backend.services.rag.app import create_app
from backend.services.rag.domain.uploads import Blobs
from backend.services.rag.parts import Parts
from backend.services.rag.store.vectors.opening import Place, open_vectors
from tests.servers import wait_until
from tests.services.rag.conftest import Person, settings_in, stop

FERRIES = "Ferries leave the northern quay at dawn."
TRAMS = "Trams leave from the square."


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys):
    """Types a command for the library in a folder: its exit code and what it says."""
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "CHROMA_URL", "VECTOR_STORE", "EMBEDDING_MODEL"):
        monkeypatch.delenv(name, raising=False)

    def type_in(*words, folder=tmp_path, **variables):
        with monkeypatch.context() as environment:
            for name, value in {"DATA_DIR": str(folder), **variables}.items():
                environment.setenv(name, value)
            code = main([str(word) for word in words])
        return code, "".join(capsys.readouterr())

    return type_in


@pytest.fixture
def moved(typed, tmp_path, identities, embedder):
    """Backs the library up and restores it elsewhere; somebody there, and what was said."""
    apps = []

    def move(user_id="user-ada", **variables):
        file, folder = tmp_path / "library.backup", tmp_path / "moved"
        if not file.exists():
            assert typed("backup", file)[0] == 0
        code, said = typed("restore", file, folder=folder, **variables)
        assert code == 0, said
        place = Place("chroma", folder / "rag" / "vectors")
        if variables.get("VECTOR_STORE") == "qdrant":
            place = Place("qdrant", folder / "rag" / "qdrant")
        app = create_app(settings_in(folder, vectors=place), embedder)
        apps.append(app)
        identities.trust(app)
        return Person(app, identities.bearer(user_id, tenant_id="tenant-of-user-ada")), said

    yield move
    for app in apps:
        stop(app)


def lacking(person):
    """How many passages the model that serves still lacks."""
    parts = person.client.application.extensions["backend.parts"][Parts]
    return sum(each.all_passages - each.passages for each in parts.reembedding.progress())


@pytest.mark.parametrize("kind", ["chroma", pytest.param("qdrant", marks=pytest.mark.slow)])
def test_documents_are_found_elsewhere_without_being_embedded_again(ada, moved, kind):
    document = ada.upload(FERRIES)
    ada.upload(TRAMS, "trams.txt")
    before = ada.search("when do the boats sail?", mode="dense")

    there, said = moved(VECTOR_STORE=kind)

    assert "embedded anew" not in said
    assert lacking(there) == 0
    after = there.search("when do the boats sail?", mode="dense")
    assert [each["chunk_id"] for each in after] == [each["chunk_id"] for each in before]
    assert [each["score"] for each in after] == pytest.approx(
        [each["score"] for each in before], abs=1e-4
    )
    original = there("GET", f"/documents/{document['id']}/content")
    assert original.data == FERRIES.encode()


def test_originals_stay_while_a_backup_is_taken(ada, app, tmp_path):
    document = ada.upload(FERRIES)
    blobs = Blobs(tmp_path / "rag" / "blobs")
    (original,) = (tmp_path / "rag" / "blobs").iterdir()
    ingestion = app.extensions["backend.parts"][Parts].ingestion

    with blobs.held():
        assert ada("DELETE", f"/documents/{document['id']}").status_code == 204
        assert not ingestion.step()
        assert original.exists()

    wait_until(lambda: ingestion.step() or not original.exists())
    wait_until(lambda: not original.exists())


def test_what_was_being_read_is_read_after_a_restore(ada, moved, typed, tmp_path):
    document = ada.upload(FERRIES)
    kept = ada.upload(TRAMS, "trams.txt")
    with open_database(f"sqlite:///{tmp_path / 'rag.db'}", "rag").as_owner() as tables:
        # As readers have left them who had claimed both: one with its text kept, one without.
        claimed = "UPDATE documents SET status = 'processing', claim = 'x', attempts = 3"
        tables.execute(sa.text(f"{claimed}, generation = 0, chunks = 0 WHERE id = :id"), document)
        tables.execute(sa.text(f"{claimed}, indexed = 0 WHERE id = :id"), kept)
    file = tmp_path / "library.backup"
    assert typed("backup", file)[0] == 0

    there, _ = moved()

    def ready():
        items = there("GET", "/documents").json["items"]
        return {each["status"] for each in items} == {"ready"}

    wait_until(ready, seconds=60)
    assert there.search("northern quay")[0]["document_id"] == document["id"]


def test_vectors_that_were_gone_are_made_anew(ada, moved, typed, tmp_path):
    ada.upload(FERRIES)
    vectors = open_vectors(Place("chroma", tmp_path / "rag" / "vectors"))
    for partition in vectors.partitions():
        vectors.drop(partition)

    there, said = moved()

    assert "1 documents are embedded anew" in said
    wait_until(lambda: lacking(there) == 0, seconds=60)
    assert there.search("when do the boats sail?", mode="dense")


def test_an_original_that_was_lost_is_told_twice(ada, typed, tmp_path):
    document = ada.upload(FERRIES)
    for original in (tmp_path / "rag" / "blobs").iterdir():
        original.unlink()

    code, said = typed("backup", tmp_path / "library.backup")
    restored, told = typed("restore", tmp_path / "library.backup", folder=tmp_path / "new")

    assert (code, restored) == (1, 0)
    assert f"The original of {document['id']} was missing." in said
    assert f"The original of {document['id']} is missing" in told


def test_a_backup_without_its_vector_store_is_refused(ada, typed, tmp_path):
    ada.upload(FERRIES)

    code, said = typed("backup", tmp_path / "library.backup", CHROMA_URL="http://127.0.0.1:9")

    assert (code, "The vectors cannot be reached" in said) == (1, True)
    assert not (tmp_path / "library.backup").exists()


@pytest.mark.postgres
@pytest.mark.slow
def test_a_library_moves_into_one_postgresql_with_its_vectors_and_out_again(
    ada, typed, tmp_path, postgres
):
    ada.upload(FERRIES)
    url = postgres.database(vectors=True)
    server = {"DATABASE_URL": url, "VECTOR_STORE": "pgvector"}
    first, second = tmp_path / "library.backup", tmp_path / "second.backup"
    assert typed("backup", first)[0] == 0

    code, said = typed("restore", first, folder=tmp_path / "server", **server)
    assert (code, "embedded anew" in said) == (0, False), said
    code, said = typed("backup", second, folder=tmp_path / "server", **server)

    assert (code, "1 of 1 vectors" in said) == (0, True), said
    code, said = typed("restore", second, folder=tmp_path / "back")
    assert (code, "embedded anew" in said) == (0, False), said
