"""Commands of `python -m backend.services.rag`."""

import io
import json
import os
import re
import tarfile

import numpy as np
import pytest

from backend.chassis.database.sessions import open_database
from backend.services.rag.__main__ import main
from backend.services.rag.app import create_app
from backend.services.rag.store.chunks import ChunkRow
from backend.services.rag.store.vectors.factory import VectorStoreSettings, open_vector_store
from tests.databases import variables_in
from tests.services.rag.conftest import PDF, ApiUser, build_settings, stop_app

FERRIES = "Ferries leave the northern quay at dawn."
TRAMS = "Trams leave from the square."


@pytest.fixture
def run_command(tmp_path, monkeypatch, capsys):
    """Return a function that runs a command and returns its exit code and output."""
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "CHROMA_URL", "VECTOR_STORE", "EMBEDDING_MODEL"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments, folder=tmp_path, **variables):
        folder.mkdir(exist_ok=True)
        with monkeypatch.context() as environment:
            for name, value in {
                "DATA_DIR": str(folder),
                **variables_in(folder),
                **variables,
            }.items():
                environment.setenv(name, value)
            code = main([str(word) for word in arguments])
        return code, "".join(capsys.readouterr())

    return run


@pytest.fixture
def start_in_folder(identities, embedder):
    """Return a function that starts the app of another installation and returns a user."""
    apps = []

    def start_other_app(folder, user_id="user-ada", **changes):
        app = create_app(build_settings(folder, **changes), embedder)
        apps.append(app)
        identities.trust(app)
        return ApiUser(app, identities.bearer(user_id, tenant_id="tenant-of-user-ada"))

    yield start_other_app
    for app in apps:
        stop_app(app)


def test_reindex_uses_stored_text(ada, run_command, tmp_path):
    document = ada.upload(FERRIES)
    for original in (tmp_path / "rag" / "blobs").iterdir():
        original.unlink()

    code, output = run_command("reindex")

    assert (code, "Reindexing 1 documents" in output) == (0, True)
    (hit,) = ada.search("northern quay")
    assert hit["document_id"] == document["id"]
    assert hit["chunk_id"].split(".")[1] == "2"  # the next generation


@pytest.mark.slow
def test_reindex_is_limited_to_collection(ada, run_command):
    ada("POST", "/collections", json={"name": "maps"})
    ada.upload(FERRIES, collection="maps")
    ada.upload(TRAMS, "trams.txt")

    code, output = run_command("reindex", "--collection", "maps")

    assert (code, "Reindexing 1 documents" in output) == (0, True)
    assert run_command("reindex", "--collection", "nowhere") == (1, "Collection not found.\n")


def test_reindex_status_prints_progress_of_each_model(ada, run_command):
    ada.upload(FERRIES)

    code, output = run_command("reindex", "--status")

    assert code == 0
    models, sentences = output.splitlines()
    assert models == "serving  built-in:minilm-l6-int8-1: 1 of 1 documents, 1 of 1 chunks"
    assert re.fullmatch("Documents whose sentences are not embedded yet: [01]", sentences)


@pytest.mark.slow
def test_export_is_imported_into_another_installation(
    ada, bob, run_command, start_in_folder, tmp_path
):
    ada("POST", "/collections", json={"name": "maps", "tenant_access": "read"})
    shared = ada.upload(FERRIES, collection="maps", metadata='{"year": 1999}')
    pdf = ada.upload(PDF)
    bob.upload(TRAMS, "trams.txt")
    before = ada("GET", f"/documents/{pdf['id']}").json

    assert run_command("export", "library.tar.gz") == (
        0,
        "3 documents exported to library.tar.gz.\n",
    )
    code, output = run_command("import", "library.tar.gz", folder=tmp_path / "other")

    assert (code, output.splitlines()[0]) == (
        0,
        "3 documents and 3 collections imported; 0 documents already existed.",
    )
    imported_ada = start_in_folder(tmp_path / "other")
    (hit,) = imported_ada.search("northern quay", mode="dense", collection="maps")
    assert (hit["document_id"], hit["text"]) == (shared["id"], FERRIES)
    assert imported_ada("GET", f"/documents/{pdf['id']}").json == before
    with imported_ada("GET", f"/documents/{pdf['id']}/content") as original:
        assert original.data == PDF.read_bytes()
    imported_bob = start_in_folder(tmp_path / "other", "user-bob")
    assert (
        imported_bob.search("ferries", mode="keyword")[0]["document_id"] == shared["id"]
    )  # shared with the tenant
    assert imported_bob("GET", f"/documents/{pdf['id']}").status_code == 404


def test_import_keeps_existing_documents(ada, run_command):
    ada.upload(FERRIES)
    run_command("export", "library.tar")
    ada.upload(TRAMS, "trams.txt")

    code, output = run_command("import", "library.tar")

    assert (code, output.splitlines()[0]) == (
        0,
        "0 documents and 0 collections imported; 1 documents already existed.",
    )
    assert len(ada("GET", "/documents").json["items"]) == 2


@pytest.mark.slow
@pytest.mark.postgres
def test_export_is_imported_into_other_stores(
    ada, run_command, start_in_folder, postgres, tmp_path
):
    document = ada.upload(PDF)
    run_command("export", "library.tar")
    url = postgres.database(vectors=True)
    stores = {"DATABASE_URL": url, "VECTOR_STORE": "pgvector"}

    code, output = run_command("import", "library.tar", folder=tmp_path / "other", **stores)

    assert (code, output.splitlines()[0].partition(" imported")[0]) == (
        0,
        "1 documents and 1 collections",
    )
    assert run_command("verify", folder=tmp_path / "other", **stores)[0] == 0
    imported_ada = start_in_folder(
        tmp_path / "other",
        database_url=url,
        vectors=VectorStoreSettings("pgvector", tmp_path / "other", url=url),
    )
    assert imported_ada.search("pages", mode="dense")[0]["document_id"] == document["id"]


@pytest.mark.parametrize("content", [b"no archive", b""])
def test_import_rejects_malformed_export(run_command, tmp_path, content):
    (tmp_path / "library.tar").write_bytes(content)

    code, output = run_command("import", "library.tar")

    assert (code, "not an export" in output) == (1, True)


def test_import_rejects_incomplete_export_completely(ada, run_command, tmp_path):
    ada.upload(FERRIES)
    run_command("export", "library.tar")
    with tarfile.open("library.tar") as archive, tarfile.open("short.tar", "w") as short:
        for member in archive.getmembers()[:-1]:
            short.addfile(member, archive.extractfile(member))

    code, output = run_command("import", "short.tar", folder=tmp_path / "other")

    assert (code, "incomplete" in output) == (1, True)
    assert not list((tmp_path / "other" / "rag").glob("blobs/*"))


def test_import_rejects_damaged_export_completely(ada, run_command, tmp_path):
    ada.upload(FERRIES)
    run_command("export", "library.tar.gz")
    archive = (tmp_path / "library.tar.gz").read_bytes()
    for position in range(20, len(archive), len(archive) // 9):
        content = bytearray(archive)
        content[position] ^= 0xFF
        (tmp_path / "library.tar.gz").write_bytes(content)

        code, output = run_command("import", "library.tar.gz", folder=tmp_path / "other")

        assert (code, "damaged" in output or "incomplete" in output) == (1, True), (
            position,
            output,
        )
        assert not list((tmp_path / "other" / "rag").glob("blobs/*"))


def test_import_rejects_archive_with_other_content(run_command, tmp_path):
    for library in ({}, {"format": 1}, {"format": 1, "collections": [{"id": 1}]}):
        file = tmp_path / "foreign.tar"
        with tarfile.open(file, "w") as tar:
            for name, content_object in (("library.json", library), ("end.json", {"documents": 0})):
                content = json.dumps(content_object).encode()
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))

        code, output = run_command("import", "foreign.tar")

        assert (code, len(output.splitlines())) == (1, 1), output


def test_export_does_not_overwrite_files_and_is_private(ada, run_command, tmp_path):
    ada.upload(FERRIES)
    run_command("export", "library.tar")

    code, output = run_command("export", "library.tar")

    assert (code, "already exists" in output) == (1, True)
    assert (tmp_path / "library.tar").stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.glob(".library*")] == []


@pytest.mark.slow
def test_verify_reports_no_inconsistencies(ada, run_command):
    ada.upload(FERRIES)
    ada.upload(PDF)

    code, output = run_command("verify")

    assert code == 0
    assert {line.split()[-2:] == ["0", "0"] for line in output.splitlines()[1:]} == {True}


# --mend is the name of --repair in earlier versions.
@pytest.mark.slow
@pytest.mark.parametrize("option", ["--repair", "--mend"])
def test_verify_reports_and_repairs_inconsistencies(ada, run_command, tmp_path, app, option):
    without_vectors = ada.upload(TRAMS, "trams.txt")
    ada.upload(FERRIES, "ferries.txt")
    with_wrong_chunk = ada.upload("Cable cars stand still in storms.", "cable.txt")
    stop_app(app)
    damage_installation(tmp_path, without_vectors["id"], with_wrong_chunk["id"])

    code, output = run_command("verify")
    assert code == 1
    assert parse_inconsistencies(output) == {
        "missing original files": 1,
        "damaged original files": 1,
        "files without a document": 1,
        "documents whose chunks do not match their text": 1,
        "documents with missing vectors (built-in:minilm-l6-int8-1)": 1,
        "vectors without a chunk (built-in:minilm-l6-int8-1)": 1,
        "partitions without a collection or model": 1,
    }

    assert run_command("verify", option)[0] == 1
    code, output = run_command("verify")

    assert (code, parse_inconsistencies(output)) == (
        1,  # an original file cannot be repaired
        {"missing original files": 1, "damaged original files": 1},
    )
    assert ada.search("trams", mode="dense")[0]["document_id"] == without_vectors["id"]
    assert ada.search("cable cars", mode="keyword")[0]["text"].startswith("Cable cars stand")


def damage_installation(folder, without_vectors, with_wrong_chunk):
    """Make the stores inconsistent.

    Deletes the vectors of the first document, changes a chunk of the second, deletes one original
    file, damages another, and adds orphaned files and vectors.
    """
    settings = build_settings(folder)
    blobs = settings.folder / "blobs"
    first, second, *_ = sorted(blobs.iterdir())
    first.unlink()
    second.write_bytes(b"something else")
    orphan = blobs / "orphan"
    orphan.touch()
    os.utime(orphan, (0, 0))
    vectors = open_vector_store(settings.vectors)
    (partition,) = vectors.list_partitions()
    vectors.delete_document(partition, without_vectors)
    row = np.eye(1, 384, dtype=np.float32)
    vectors.add_vectors(partition, "doc_gone", 1, ["chk_gone.1.0"], row)
    vectors.add_vectors("col_gone", "doc_gone", 1, ["chk_gone.1.0"], row)
    vectors.close()
    database = open_database(settings.database_url, "rag").across_tenants()
    with database.write() as session:
        session.query(ChunkRow).where(
            ChunkRow.document_id == with_wrong_chunk
        ).one().text = "Something else."
    database.engine.dispose()


def parse_inconsistencies(output):
    rows = [line.rsplit(maxsplit=3) for line in output.splitlines()[1:]]
    return {row[0]: int(row[2]) for row in rows if row[-1].isdecimal() and int(row[2])}


CORPUS = {
    "runway": "The runway of the old airfield is 1,840 metres long.",
    "bread": "Rye bread takes two days to make.",
    "refund": "Refunds are paid within fourteen days.",
}


@pytest.fixture
def dataset(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    rows = [json.dumps({"_id": key, "title": "", "text": text}) for key, text in CORPUS.items()]
    (folder / "corpus.jsonl").write_text("\n".join(rows))
    queries = {"1": "How long is the runway?", "2": "When are refunds paid?"}
    rows = [json.dumps({"_id": key, "text": text}) for key, text in queries.items()]
    (folder / "queries.jsonl").write_text("\n".join(rows))
    (folder / "qrels.tsv").write_text("1\trunway\t1\n2\trefund\t1\n2\tgone\t1\n")
    return folder


def test_evaluate_prints_metrics_of_each_mode(dataset, run_command, monkeypatch, tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)

    code, output = run_command("evaluate", str(dataset), "--mode", "all")

    assert code == 0
    lines = output.splitlines()
    assert lines[0].startswith("small: 3 documents in 3 chunks, 2 questions")
    assert lines[1] == "embedding model: built-in:minilm-l6-int8-1"
    assert re.split(r"\s{2,}", lines[2].strip())[:4] == [
        "nDCG@10",
        "Recall@5",
        "Recall@10",
        "MRR",
    ]
    rows = {line.split()[0]: line.split()[1:5] for line in lines[3:]}
    # One question has two answers, of which one is not in the corpus.
    assert rows["hybrid"] == ["0.8066", "0.7500", "0.7500", "1.0000"]
    assert set(rows) == {"hybrid", "dense", "keyword"}
    assert list(temporary.iterdir()) == []


@pytest.mark.slow
def test_evaluate_uses_one_model_for_all_documents(dataset, run_command):
    model = "built-in:e5-small-int8-1"

    code, output = run_command("evaluate", str(dataset), "--mode", "dense", EMBEDDING_MODEL=model)

    assert code == 0
    lines = output.splitlines()
    assert lines[1] == f"embedding model: {model}"
    assert lines[3].split()[4] == "1.0000"  # the first hit of each question is relevant


@pytest.mark.slow
def test_evaluate_chooses_the_model_of_questions_in_another_language(dataset, run_command):
    queries = dataset / "queries.jsonl"
    german = "Wie lang ist die Landebahn des Flugplatzes?"
    queries.write_text(queries.read_text().replace("How long is the runway?", german))

    code, output = run_command("evaluate", str(dataset), "--mode", "dense")

    assert code == 0, output
    assert "embedding model: built-in:e5-small-int8-1" in output


def test_evaluate_rejects_folder_without_questions(tmp_path, run_command):
    code, output = run_command("evaluate", str(tmp_path))

    assert (code, "contains no qrels.tsv" in output) == (1, True)
