"""Backup and restore of documents: files, vectors, unfinished documents, other vector stores."""

import tarfile

import pytest
import sqlalchemy as sa

from backend.chassis.database.sessions import open_database
from backend.chassis.web.app_factory import get_component
from backend.operations.backup.__main__ import main
from backend.services.rag.app import create_app
from backend.services.rag.domain.blob_storage import BlobStorage
from backend.services.rag.store.vectors.factory import VectorStoreSettings, open_vector_store
from backend.services.rag.wiring import RagComponents
from tests.databases import database_in, execute, variables_in
from tests.servers import wait_until
from tests.services.rag.conftest import ApiUser, build_settings, stop_app

FERRIES = "Ferries leave the northern quay at dawn."
TRAMS = "Trams leave from the square."


@pytest.fixture
def run_command(tmp_path, monkeypatch, capsys):
    """Run a backup command on a data folder; returns its exit code and output.

    Other folders than that of the test are restored to, and use SQLite: databases from
    `tests/databases.py` have tables already.
    """
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "CHROMA_URL", "VECTOR_STORE", "EMBEDDING_MODEL"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments, folder=tmp_path, **variables):
        with monkeypatch.context() as environment:
            database = variables_in(folder) if folder == tmp_path else {}
            for name, value in {"DATA_DIR": str(folder), **database, **variables}.items():
                environment.setenv(name, value)
            code = main([str(argument) for argument in arguments])
        return code, "".join(capsys.readouterr())

    return run


@pytest.fixture
def restore_elsewhere(run_command, tmp_path, identities, embedder):
    """Back up and restore into another folder; returns a user there and the output."""
    apps = []

    def restore(user_id="user-ada", **variables):
        file, folder = tmp_path / "library.backup", tmp_path / "elsewhere"
        if not file.exists():
            assert run_command("backup", file)[0] == 0
        code, output = run_command("restore", file, folder=folder, **variables)
        assert code == 0, output
        vectors = VectorStoreSettings("chroma", folder / "rag" / "vectors")
        if variables.get("VECTOR_STORE") == "qdrant":
            vectors = VectorStoreSettings("qdrant", folder / "rag" / "qdrant")
        database_url = f"sqlite:///{folder / 'rag.db'}"
        app = create_app(
            build_settings(folder, vectors=vectors, database_url=database_url), embedder
        )
        apps.append(app)
        identities.trust(app)
        return ApiUser(app, identities.bearer(user_id, tenant_id="tenant-of-user-ada")), output

    yield restore
    for app in apps:
        stop_app(app)


def count_missing_vectors(person):
    """Return the number of chunks that the active model has not embedded yet."""
    components = get_component(person.client.application, RagComponents)
    return sum(
        progress.total_chunks - progress.chunks for progress in components.reembedder.get_progress()
    )


@pytest.mark.parametrize("kind", ["chroma", pytest.param("qdrant", marks=pytest.mark.slow)])
def test_restored_documents_are_searchable_without_embedding_them_again(
    ada, restore_elsewhere, kind
):
    document = ada.upload(FERRIES)
    ada.upload(TRAMS, "trams.txt")
    before = ada.search("when do the boats sail?", mode="dense")

    restored, output = restore_elsewhere(VECTOR_STORE=kind)

    assert "vectors of" not in output
    assert count_missing_vectors(restored) == 0
    after = restored.search("when do the boats sail?", mode="dense")
    assert [item["chunk_id"] for item in after] == [item["chunk_id"] for item in before]
    assert [item["score"] for item in after] == pytest.approx(
        [item["score"] for item in before], abs=1e-4
    )
    download = restored("GET", f"/documents/{document['id']}/content")
    assert download.data == FERRIES.encode()


@pytest.mark.slow
def test_vectors_of_sentences_are_left_out_and_created_again(ada, restore_elsewhere, tmp_path):
    def count_rows(database_url):
        return execute(database_url, "rag", "SELECT count(*) FROM sentence_vectors")[0][0]

    ada.upload(FERRIES)
    wait_until(lambda: count_rows(database_in(tmp_path, "rag")) == 1, seconds=60)

    restored, _ = restore_elsewhere()

    with tarfile.open(tmp_path / "library.backup") as archive:
        names = archive.getnames()
    assert [name for name in names if "sentence_vectors" in name] == []
    assert [name for name in names if "chunks" in name]
    assert restored("GET", "/health/ready").status_code == 200
    wait_until(
        lambda: count_rows(f"sqlite:///{tmp_path / 'elsewhere' / 'rag.db'}") == 1, seconds=60
    )


def test_files_of_deleted_documents_remain_during_a_backup(ada, app, tmp_path):
    document = ada.upload(FERRIES)
    blobs = BlobStorage(tmp_path / "rag" / "blobs")
    (original,) = (tmp_path / "rag" / "blobs").iterdir()
    ingestion = get_component(app, RagComponents).ingestion

    with blobs.block_deletion():
        assert ada("DELETE", f"/documents/{document['id']}").status_code == 204
        assert not ingestion.process_next_document()
        assert original.exists()

    wait_until(lambda: ingestion.process_next_document() or not original.exists(), seconds=60)
    wait_until(lambda: not original.exists(), seconds=60)


@pytest.mark.slow
def test_document_in_processing_is_processed_after_a_restore(
    ada, restore_elsewhere, run_command, tmp_path
):
    document = ada.upload(FERRIES)
    trams = ada.upload(TRAMS, "trams.txt")
    with open_database(database_in(tmp_path, "rag"), "rag").as_owner() as tables:
        # As left by killed workers: one document without chunks, one with chunks not indexed yet.
        claimed = "UPDATE documents SET status = 'processing', claim = 'x', attempts = 3"
        tables.execute(sa.text(f"{claimed}, generation = 0, chunks = 0 WHERE id = :id"), document)
        tables.execute(sa.text(f"{claimed}, indexed = 0 WHERE id = :id"), trams)
    file = tmp_path / "library.backup"
    assert run_command("backup", file)[0] == 0

    restored, _ = restore_elsewhere()

    def ready():
        items = restored("GET", "/documents").json["items"]
        return {item["status"] for item in items} == {"ready"}

    wait_until(ready, seconds=60)
    assert restored.search("northern quay")[0]["document_id"] == document["id"]


def test_missing_vectors_are_created_after_a_restore(ada, restore_elsewhere, run_command, tmp_path):
    ada.upload(FERRIES)
    vectors = open_vector_store(VectorStoreSettings("chroma", tmp_path / "rag" / "vectors"))
    for partition in vectors.list_partitions():
        vectors.drop_partition(partition)

    restored, output = restore_elsewhere()

    assert "The vectors of 1 documents are missing" in output
    wait_until(lambda: count_missing_vectors(restored) == 0, seconds=60)
    assert restored.search("when do the boats sail?", mode="dense")


def test_missing_file_is_reported_by_backup_and_restore(ada, run_command, tmp_path):
    document = ada.upload(FERRIES)
    for original in (tmp_path / "rag" / "blobs").iterdir():
        original.unlink()

    code, output = run_command("backup", tmp_path / "library.backup")
    restore_code, restore_output = run_command(
        "restore", tmp_path / "library.backup", folder=tmp_path / "new"
    )

    assert (code, restore_code) == (1, 0)
    assert f"The file of document {document['id']} was missing" in output
    assert f"The file of document {document['id']} is missing" in restore_output


def test_backup_fails_when_the_vector_store_is_unreachable(ada, run_command, tmp_path):
    ada.upload(FERRIES)

    code, output = run_command(
        "backup", tmp_path / "library.backup", CHROMA_URL="http://127.0.0.1:9"
    )

    assert (code, "The vector store cannot be reached" in output) == (1, True)
    assert not (tmp_path / "library.backup").exists()


@pytest.mark.postgres
@pytest.mark.slow
def test_documents_and_vectors_move_to_postgresql_and_back(ada, run_command, tmp_path, postgres):
    ada.upload(FERRIES)
    url = postgres.database(vectors=True)
    server = {"DATABASE_URL": url, "VECTOR_STORE": "pgvector"}
    first, second = tmp_path / "library.backup", tmp_path / "second.backup"
    assert run_command("backup", first)[0] == 0

    code, output = run_command("restore", first, folder=tmp_path / "server", **server)
    assert (code, "vectors of" in output) == (0, False), output
    code, output = run_command("backup", second, folder=tmp_path / "server", **server)

    assert (code, "1 of 1 vectors" in output) == (0, True), output
    code, output = run_command("restore", second, folder=tmp_path / "back")
    assert (code, "vectors of" in output) == (0, False), output
