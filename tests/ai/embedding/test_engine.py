"""The int8 engine against vectors made by an independent forward pass over the weights."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

REFERENCE = json.loads((Path(__file__).parent / "reference.json").read_text())
TEXTS = [row["text"] for row in REFERENCE]
EXPECTED = np.array([row["vector"] for row in REFERENCE], np.float32)


@pytest.mark.parametrize(
    ("text", "expected"),
    [pytest.param(row["text"], row["vector"], id=row["text"][:30]) for row in REFERENCE],
)
def test_a_vector_agrees_with_the_published_weights(embedder, text, expected):
    (vector,) = embedder.encode([text])

    assert float(vector @ np.array(expected, np.float32)) > 0.98


def test_vectors_agree_on_average_to_less_than_a_hundredth(embedder):
    assert float((embedder.encode(TEXTS) * EXPECTED).sum(axis=1).mean()) > 0.99


def test_the_order_of_closeness_is_the_one_of_full_precision(embedder):
    question, passage, translation = 2, 4, 5

    vectors = embedder.encode(TEXTS)

    assert vectors[question] @ vectors[passage] > vectors[question] @ vectors[translation]
    assert vectors[question] @ vectors[translation] > vectors[question] @ vectors[0]


def test_rows_are_unit_float32_in_the_order_given(embedder):
    vectors = embedder.encode(TEXTS)

    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    alone = np.concatenate([embedder.encode([text]) for text in TEXTS])
    assert float((alone * vectors).sum(axis=1).min()) > 0.98


def test_no_text_gives_no_rows(embedder):
    assert embedder.encode([]).shape == (0, 384)


def test_what_lies_beyond_256_tokens_is_not_read(embedder):
    long = "harbour " * 300

    assert np.array_equal(*embedder.encode([long, long + "submarine " * 50]))


@pytest.mark.parametrize("text", ["", " \n", "\x00", "\u200b", "\U0001d518", "a" * 5000])
def test_any_string_has_a_vector(embedder, text):
    assert np.isfinite(embedder.encode([text])).all()


def test_threads_may_share_one_embedder(embedder):
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda text: embedder.encode([text])[0], TEXTS * 4))

    assert float((np.array(rows) * np.tile(EXPECTED, (4, 1))).sum(axis=1).min()) > 0.98
