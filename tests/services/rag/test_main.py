"""The operator's commands, as they are typed."""

import pytest

from backend.services.rag.__main__ import main
from tests.services.rag.conftest import ROOT


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys):
    """Types a command beside the library in the test's folder: its exit code and what it says."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").symlink_to(ROOT / ".cache" / "models")  # built once for all tests
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    for name in ("DATABASE_URL", "CHROMA_URL", "VECTOR_STORE", "EMBEDDING_MODEL"):
        monkeypatch.delenv(name, raising=False)

    def type_in(*words):
        code = main(words)
        return code, "".join(capsys.readouterr())

    return type_in


def test_everything_is_indexed_anew_from_the_text_that_is_kept(ada, typed, tmp_path):
    document = ada.upload("Ferries leave the northern quay at dawn.")
    for original in (tmp_path / "rag" / "blobs").iterdir():
        original.unlink()

    code, said = typed("reindex")

    assert (code, "1 documents are indexed anew" in said) == (0, True)
    (found,) = ada.search("northern quay")
    assert found["document_id"] == document["id"]
    assert found["chunk_id"].split(".")[1] == "2"  # of the next generation


def test_only_one_collection_is_indexed_anew(ada, typed):
    ada("POST", "/collections", json={"name": "maps"})
    ada.upload("Ferries leave the northern quay at dawn.", collection="maps")
    ada.upload("Trams leave from the square.", "trams.txt")

    code, said = typed("reindex", "--collection", "maps")

    assert (code, "1 documents are indexed anew" in said) == (0, True)
    assert typed("reindex", "--collection", "nowhere") == (1, "There is no such collection.\n")


def test_the_status_tells_how_far_each_model_is(ada, typed):
    ada.upload("Ferries leave the northern quay at dawn.")

    code, said = typed("reindex", "--status")

    assert code == 0
    assert said == ("serving  built-in:minilm-l6-int8-1: 1 of 1 documents, 1 of 1 passages\n")
