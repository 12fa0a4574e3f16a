"""The int8 model against vectors of an independent forward pass over the published weights."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from backend.ai.embedding import BuiltInEmbedder

REFERENCE = json.loads((Path(__file__).parent / "reference.json").read_text())
TEXTS = [row["text"] for row in REFERENCE]
EXPECTED = np.array([row["vector"] for row in REFERENCE], np.float32)


@pytest.mark.parametrize(
    ("text", "expected"),
    [pytest.param(row["text"], row["vector"], id=row["text"][:30]) for row in REFERENCE],
)
def test_vector_agrees_with_the_published_weights(embedder, text, expected):
    (vector,) = embedder.encode([text])

    assert float(vector @ np.array(expected, np.float32)) > 0.98


def test_mean_cosine_with_the_reference_exceeds_0_99(embedder):
    assert float((embedder.encode(TEXTS) * EXPECTED).sum(axis=1).mean()) > 0.99


def test_order_of_similarity_equals_full_precision(embedder):
    question, passage, translation = 2, 4, 5

    vectors = embedder.encode(TEXTS)

    assert vectors[question] @ vectors[passage] > vectors[question] @ vectors[translation]
    assert vectors[question] @ vectors[translation] > vectors[question] @ vectors[0]


def test_rows_are_unit_float32_in_the_order_of_the_texts(embedder):
    vectors = embedder.encode(TEXTS)

    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    separately = np.concatenate([embedder.encode([text]) for text in TEXTS])
    assert float((separately * vectors).sum(axis=1).min()) > 0.98


def test_no_texts_return_no_rows(embedder):
    assert embedder.encode([]).shape == (0, 384)


def test_text_is_truncated_to_256_tokens(embedder):
    long_text = "harbour " * 300

    assert np.array_equal(*embedder.encode([long_text, long_text + "submarine " * 50]))


@pytest.mark.parametrize("text", ["", " \n", "\x00", "\u200b", "\U0001d518", "a" * 5000])
def test_any_string_has_a_finite_vector(embedder, text):
    assert np.isfinite(embedder.encode([text])).all()


def test_embedder_can_be_shared_between_threads(embedder):
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda text: embedder.encode([text])[0], TEXTS * 4))

    assert float((np.array(rows) * np.tile(EXPECTED, (4, 1))).sum(axis=1).min()) > 0.98


def test_number_of_threads_does_not_change_the_vectors(embedder):
    texts = ["Who invented the typewriter?", "The typewriter was patented in 1868. " * 12]
    parallel = BuiltInEmbedder(threads=1, threads_per_batch=2)

    for text in texts:
        assert np.array_equal(parallel.encode([text]), embedder.encode([text]))
