"""Vectors from an OpenAI-compatible endpoint, a real process."""

import numpy as np
import pytest
import requests

from backend.ai.embedding import ModelUnavailable
from backend.ai.embedding.endpoint import EndpointModel
from backend.chassis.settings import Secret
from tests import servers


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with servers.embeddings(tmp_path_factory.mktemp("endpoint")) as base_url:
        yield base_url


@pytest.fixture
def model(url):
    return EndpointModel(url, "small-3", Secret("sk-of-the-test"))


def test_rows_come_of_length_one_in_the_order_of_the_texts(model):
    rows = model.encode(["red apple", "green pear", "red pear"])

    assert rows.dtype == np.float32
    assert rows.shape == (3, 8)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1)
    assert np.array_equal(rows[1], model.encode(["green pear"])[0])


def test_how_wide_a_vector_is_it_finds_out_by_asking(model):
    assert model.dimensions == 8
    assert model.encode([]).shape == (0, 8)


def test_many_texts_go_in_several_requests_with_the_key_and_the_model(model, url):
    texts = [f"text {n}" for n in range(150)]

    assert model.encode(texts).shape == (150, 8)

    sent = [each for each in requests.get(url, timeout=5).json() if each["input"][0] in texts]
    assert [len(each["input"]) for each in sent] == [64, 64, 22]
    assert {(each["model"], each["key"], each["path"]) for each in sent} == {
        ("small-3", "Bearer sk-of-the-test", "/v1/embeddings")
    }


def test_an_empty_text_and_an_endless_one_are_sent_as_something_a_server_takes(model, url):
    model.encode(["", "word " * 10_000])

    sent = requests.get(url, timeout=5).json()[-1]["input"]
    assert sent[0] == " "
    assert len(sent[1]) == 8000


def test_one_that_asks_for_patience_is_asked_again(model):
    assert model.encode(["!busy-once"]).shape == (1, 8)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("!401", "EMBEDDING_API_KEY"),
        ("!short", "without a vector for each text"),
        ("!zero", "point nowhere"),
        ("!wide", "another model"),
    ],
)
def test_an_answer_that_is_no_answer_is_refused_with_what_to_do(model, text, said):
    model.encode(["first, so that it is known how wide they are"])

    with pytest.raises(ModelUnavailable, match=said) as refused:
        model.encode([text])

    assert "sk-of-the-test" not in str(refused.value)


@pytest.mark.parametrize("text", ["!500", "!no-json"])
def test_one_that_goes_on_failing_is_given_up(model, text, monkeypatch):
    monkeypatch.setattr("backend.ai.embedding.endpoint._PAUSE_SECONDS", 0)

    with pytest.raises(ModelUnavailable, match="answers"):
        model.encode([text])


def test_one_that_is_not_there_is_given_up(monkeypatch):
    monkeypatch.setattr("backend.ai.embedding.endpoint._PAUSE_SECONDS", 0)
    nobody = EndpointModel(f"http://127.0.0.1:{servers.free_port()}/v1", "small-3")

    with pytest.raises(ModelUnavailable, match="does not answer"):
        nobody.encode(["anything"])
