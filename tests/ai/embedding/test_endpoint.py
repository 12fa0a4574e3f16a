"""Embeddings from an OpenAI-compatible server in another process."""

import numpy as np
import pytest
import requests

from backend.ai.embedding import EmbeddingModelUnavailable
from backend.ai.embedding.endpoint import EndpointEmbedder
from backend.chassis.settings import Secret
from tests import servers


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with servers.embeddings(tmp_path_factory.mktemp("endpoint")) as base_url:
        yield base_url


@pytest.fixture
def model(url):
    return EndpointEmbedder(url, "small-3", Secret("sk-of-the-test"))


def test_rows_have_length_one_and_the_order_of_the_texts(model):
    rows = model.encode(["red apple", "green pear", "red pear"])

    assert rows.dtype == np.float32
    assert rows.shape == (3, 8)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1)
    assert np.array_equal(rows[1], model.encode(["green pear"])[0])


def test_dimensions_are_measured_with_a_request(model):
    assert model.dimensions == 8
    assert model.encode([]).shape == (0, 8)


def test_texts_are_sent_in_batches_with_api_key_and_model(model, url):
    texts = [f"text {n}" for n in range(150)]

    assert model.encode(texts).shape == (150, 8)

    received = [item for item in requests.get(url, timeout=30).json() if item["input"][0] in texts]
    assert [len(item["input"]) for item in received] == [64, 64, 22]
    assert {(item["model"], item["key"], item["path"]) for item in received} == {
        ("small-3", "Bearer sk-of-the-test", "/v1/embeddings")
    }


def test_empty_text_is_sent_as_a_space_and_long_text_is_truncated(model, url):
    model.encode(["", "word " * 10_000])

    inputs = requests.get(url, timeout=30).json()[-1]["input"]
    assert inputs[0] == " "
    assert len(inputs[1]) == 8000


def test_request_is_retried_after_status_429(model):
    assert model.encode(["!busy-once"]).shape == (1, 8)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("!401", "EMBEDDING_API_KEY"),
        ("!short", "did not return a vector for every text"),
        ("!zero", "zero or non-finite"),
        ("!wide", "another model"),
    ],
)
def test_invalid_response_is_reported_without_the_api_key(model, text, message):
    model.encode(["sets the dimensions"])

    with pytest.raises(EmbeddingModelUnavailable, match=message) as failure:
        model.encode([text])

    assert "sk-of-the-test" not in str(failure.value)


@pytest.mark.parametrize("text", ["!500", "!no-json"])
def test_permanent_failure_is_reported(model, text, monkeypatch):
    monkeypatch.setattr("backend.ai.embedding.endpoint._RETRY_DELAY_SECONDS", 0)

    with pytest.raises(EmbeddingModelUnavailable, match="returned"):
        model.encode([text])


def test_unreachable_server_is_reported(monkeypatch):
    monkeypatch.setattr("backend.ai.embedding.endpoint._RETRY_DELAY_SECONDS", 0)
    model = EndpointEmbedder(f"http://127.0.0.1:{servers.free_port()}/v1", "small-3")

    with pytest.raises(EmbeddingModelUnavailable, match="does not respond"):
        model.encode(["anything"])
