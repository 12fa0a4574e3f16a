"""The operator's commands, as they are typed."""

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
from backend.services.rag.store.vectors.opening import Place, open_vectors
from tests.databases import variables_in
from tests.services.rag.conftest import PDF, ROOT, Person, settings_in, stop

FERRIES = "Ferries leave the northern quay at dawn."
TRAMS = "Trams leave from the square."


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys):
    """Types a command beside the library in the test's folder: its exit code and what it says."""
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "CHROMA_URL", "VECTOR_STORE", "EMBEDDING_MODEL"):
        monkeypatch.delenv(name, raising=False)

    def type_in(*words, folder=tmp_path, **variables):
        folder.mkdir(exist_ok=True)
        if not (folder / "models").exists():  # built once for all tests
            (folder / "models").symlink_to(ROOT / ".cache" / "models")
        with monkeypatch.context() as environment:
            for name, value in {
                "DATA_DIR": str(folder),
                **variables_in(folder),
                **variables,
            }.items():
                environment.setenv(name, value)
            code = main([str(word) for word in words])
        return code, "".join(capsys.readouterr())

    return type_in


@pytest.fixture
def person_in(identities, embedder):
    """Somebody of another installation."""
    apps = []

    def open_library(folder, user_id="user-ada", **changed):
        app = create_app(settings_in(folder, **changed), embedder)
        apps.append(app)
        identities.trust(app)
        return Person(app, identities.bearer(user_id, tenant_id="tenant-of-user-ada"))

    yield open_library
    for app in apps:
        stop(app)


def test_everything_is_indexed_anew_from_the_text_that_is_kept(ada, typed, tmp_path):
    document = ada.upload(FERRIES)
    for original in (tmp_path / "rag" / "blobs").iterdir():
        original.unlink()

    code, said = typed("reindex")

    assert (code, "1 documents are indexed anew" in said) == (0, True)
    (found,) = ada.search("northern quay")
    assert found["document_id"] == document["id"]
    assert found["chunk_id"].split(".")[1] == "2"  # of the next generation


def test_only_one_collection_is_indexed_anew(ada, typed):
    ada("POST", "/collections", json={"name": "maps"})
    ada.upload(FERRIES, collection="maps")
    ada.upload(TRAMS, "trams.txt")

    code, said = typed("reindex", "--collection", "maps")

    assert (code, "1 documents are indexed anew" in said) == (0, True)
    assert typed("reindex", "--collection", "nowhere") == (1, "There is no such collection.\n")


def test_the_status_tells_how_far_each_model_is(ada, typed):
    ada.upload(FERRIES)

    code, said = typed("reindex", "--status")

    assert code == 0
    assert said == ("serving  built-in:minilm-l6-int8-1: 1 of 1 documents, 1 of 1 passages\n")


def test_a_library_moves_to_another_installation(ada, bob, typed, person_in, tmp_path):
    ada("POST", "/collections", json={"name": "maps", "tenant_access": "read"})
    shared = ada.upload(FERRIES, collection="maps", metadata='{"year": 1999}')
    pdf = ada.upload(PDF)
    bob.upload(TRAMS, "trams.txt")
    before = ada("GET", f"/documents/{pdf['id']}").json

    assert typed("export", "library.tar.gz") == (0, "3 documents are in library.tar.gz.\n")
    code, said = typed("import", "library.tar.gz", folder=tmp_path / "other")

    assert (code, said.splitlines()[0]) == (
        0,
        "3 documents and 3 collections came in; 0 documents were there already.",
    )
    there = person_in(tmp_path / "other")
    (found,) = there.search("northern quay", mode="dense", collection="maps")
    assert (found["document_id"], found["text"]) == (shared["id"], FERRIES)
    assert there("GET", f"/documents/{pdf['id']}").json == before
    with there("GET", f"/documents/{pdf['id']}/content") as original:
        assert original.data == PDF.read_bytes()
    strange = person_in(tmp_path / "other", "user-bob")
    assert (
        strange.search("ferries", mode="keyword")[0]["document_id"] == shared["id"]
    )  # shared with the tenant
    assert strange("GET", f"/documents/{pdf['id']}").status_code == 404


def test_what_is_there_already_is_left_alone(ada, typed):
    ada.upload(FERRIES)
    typed("export", "library.tar")
    ada.upload(TRAMS, "trams.txt")

    code, said = typed("import", "library.tar")

    assert (code, said.splitlines()[0]) == (
        0,
        "0 documents and 0 collections came in; 1 documents were there already.",
    )
    assert len(ada("GET", "/documents").json["items"]) == 2


@pytest.mark.slow
@pytest.mark.postgres
def test_a_library_moves_to_other_stores(ada, typed, person_in, postgres, tmp_path):
    document = ada.upload(PDF)
    typed("export", "library.tar")
    url = postgres.database(vectors=True)
    stores = {"DATABASE_URL": url, "VECTOR_STORE": "pgvector"}

    code, said = typed("import", "library.tar", folder=tmp_path / "other", **stores)

    assert (code, said.splitlines()[0].partition(" came")[0]) == (
        0,
        "1 documents and 1 collections",
    )
    assert typed("verify", folder=tmp_path / "other", **stores)[0] == 0
    ada_there = person_in(
        tmp_path / "other",
        database_url=url,
        vectors=Place("pgvector", tmp_path / "other", url=url),
    )
    assert ada_there.search("pages", mode="dense")[0]["document_id"] == document["id"]


@pytest.mark.parametrize("content", [b"no archive", b""])
def test_what_is_no_export_is_refused(typed, tmp_path, content):
    (tmp_path / "library.tar").write_bytes(content)

    code, said = typed("import", "library.tar")

    assert (code, "no export" in said) == (1, True)


def test_an_export_that_was_cut_short_is_refused_whole(ada, typed, tmp_path):
    ada.upload(FERRIES)
    typed("export", "library.tar")
    with tarfile.open("library.tar") as whole, tarfile.open("short.tar", "w") as short:
        for member in whole.getmembers()[:-1]:
            short.addfile(member, whole.extractfile(member))

    code, said = typed("import", "short.tar", folder=tmp_path / "other")

    assert (code, "cut short" in said) == (1, True)
    assert not list((tmp_path / "other" / "rag").glob("blobs/*"))


def test_an_export_that_was_damaged_is_refused_whole(ada, typed, tmp_path):
    ada.upload(FERRIES)
    typed("export", "library.tar.gz")
    whole = (tmp_path / "library.tar.gz").read_bytes()
    for place in range(20, len(whole), len(whole) // 9):
        content = bytearray(whole)
        content[place] ^= 0xFF
        (tmp_path / "library.tar.gz").write_bytes(content)

        code, said = typed("import", "library.tar.gz", folder=tmp_path / "other")

        assert (code, "damaged" in said or "cut short" in said) == (1, True), (place, said)
        assert not list((tmp_path / "other" / "rag").glob("blobs/*"))


def test_an_archive_of_something_else_is_refused(typed, tmp_path):
    for fields in ({}, {"format": 1}, {"format": 1, "collections": [{"id": 1}]}):
        file = tmp_path / "other.tar"
        with tarfile.open(file, "w") as tar:
            for name, said in (("library.json", fields), ("end.json", {"documents": 0})):
                content = json.dumps(said).encode()
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))

        code, said = typed("import", "other.tar")

        assert (code, len(said.splitlines())) == (1, 1), said


def test_an_export_overwrites_nothing_and_is_for_its_owners_eyes(ada, typed, tmp_path):
    ada.upload(FERRIES)
    typed("export", "library.tar")

    code, said = typed("export", "library.tar")

    assert (code, "is there already" in said) == (1, True)
    assert (tmp_path / "library.tar").stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.glob(".library*")] == []


def test_a_library_in_order_is_found_in_order(ada, typed):
    ada.upload(FERRIES)
    ada.upload(PDF)

    code, said = typed("verify")

    assert code == 0
    assert {line.split()[-2:] == ["0", "0"] for line in said.splitlines()[1:]} == {True}


def test_what_does_not_agree_is_told_and_mended(ada, typed, tmp_path, app):
    lost = ada.upload(TRAMS, "trams.txt")
    ada.upload(FERRIES, "ferries.txt")
    torn = ada.upload("Cable cars stand still in storms.", "cable.txt")
    stop(app)
    spoil(tmp_path, lost["id"], torn["id"])

    code, said = typed("verify")
    assert code == 1
    assert wrong(said) == {
        "originals that are missing": 1,
        "originals that are damaged": 1,
        "files that no document has": 1,
        "documents whose passages are not their text": 1,
        "documents with vectors missing (built-in:minilm-l6-int8-1)": 1,
        "vectors that no passage has (built-in:minilm-l6-int8-1)": 1,
        "partitions of no collection or model": 1,
    }

    assert typed("verify", "--mend")[0] == 1
    code, said = typed("verify")

    assert (code, wrong(said)) == (
        1,  # an original cannot be made anew
        {"originals that are missing": 1, "originals that are damaged": 1},
    )
    assert ada.search("trams", mode="dense")[0]["document_id"] == lost["id"]
    assert ada.search("cable cars", mode="keyword")[0]["text"].startswith("Cable cars stand")


def spoil(folder, lost, torn):
    """Vectors of *lost* and a passage of *torn*, an original each, and things of nobody."""
    settings = settings_in(folder)
    blobs = settings.folder / "blobs"
    one, other, *_ = sorted(blobs.iterdir())
    one.unlink()
    other.write_bytes(b"something else")
    stray = blobs / "stray"
    stray.touch()
    os.utime(stray, (0, 0))
    vectors = open_vectors(settings.vectors)
    (partition,) = vectors.partitions()
    vectors.forget(partition, lost)
    row = np.eye(1, 384, dtype=np.float32)
    vectors.add(partition, "doc_gone", 1, ["chk_gone.1.0"], row)
    vectors.add("col_gone", "doc_gone", 1, ["chk_gone.1.0"], row)
    vectors.close()
    database = open_database(settings.database_url, "rag").across_tenants()
    with database.write() as session:
        session.query(ChunkRow).where(ChunkRow.document_id == torn).one().text = "Something else."
    database.engine.dispose()


def wrong(said):
    rows = [line.rsplit(maxsplit=3) for line in said.splitlines()[1:]]
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


def test_evaluate_prints_the_measures_of_each_mode(dataset, typed, monkeypatch, tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)

    code, said = typed("evaluate", str(dataset), "--mode", "all")

    assert code == 0
    printed = said.splitlines()
    assert printed[0].startswith("small: 3 documents in 3 passages, 2 questions")
    assert re.split(r"\s{2,}", printed[1].strip())[:4] == [
        "nDCG@10",
        "Recall@5",
        "Recall@10",
        "MRR",
    ]
    rows = {line.split()[0]: line.split()[1:5] for line in printed[2:]}
    # One question has two answers, of which one is not in the corpus.
    assert rows["hybrid"] == ["0.8066", "0.7500", "0.7500", "1.0000"]
    assert set(rows) == {"hybrid", "dense", "keyword"}
    assert list(temporary.iterdir()) == []


def test_a_folder_without_questions_is_refused_in_a_sentence(tmp_path, typed):
    code, said = typed("evaluate", str(tmp_path))

    assert (code, "holds no qrels.tsv" in said) == (1, True)
