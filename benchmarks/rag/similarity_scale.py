"""Measure the cosine similarities of questions with sentences under both built-in models.

    python -m benchmarks.rag.similarity_scale DATA

DATA contains `xquad`, and `xquad-languages` with German and Thai. For each question, the best
similarity with a sentence of its paragraph (right), and with a sentence of any other paragraph
(wrong), is measured. The printed factor and offset map the means of the multilingual model within
English and within German to those of the model for English
(`backend/services/rag/domain/embeddings/sentence_models.py`).
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from backend.ai.embedding import BuiltInEmbedder, EmbeddingModel, MultilingualEmbedder, Vectors
from backend.ai.text.sentences import iterate_units
from benchmarks.rag.question_sets import QuestionSet, read_question_set

# Every twelfth paragraph is used.
PARAGRAPH_STEP = 12
SENTENCES_PER_PARAGRAPH = 6
QUESTIONS_PER_PARAGRAPH = 4


def main() -> None:
    folder = Path(sys.argv[1])
    sets = {
        "en": read_question_set(folder, "xquad"),
        **{name: read_question_set(folder / "xquad-languages", name) for name in ("de", "th")},
    }
    english, multilingual = BuiltInEmbedder(threads=1), MultilingualEmbedder(threads=1)
    target = _measure("MiniLM", english, sets, "en", "en")
    same = [_measure("e5", multilingual, sets, language, language) for language in ("en", "de")]
    for language in ("de", "th"):
        _measure("e5", multilingual, sets, language, "en")
    right, wrong = np.mean(same, axis=0)
    factor = (target[0] - target[1]) / (right - wrong)
    print(f"factor {factor:.2f}  offset {target[0] - factor * right:.3f}")


def _measure(
    label: str,
    model: EmbeddingModel,
    sets: Mapping[str, QuestionSet],
    question_language: str,
    sentence_language: str,
) -> tuple[float, float]:
    """Print and return the means of the best similarities with right and wrong paragraphs."""
    asked, answered = sets[question_language], sets[sentence_language]
    keys = list(answered.documents)[::PARAGRAPH_STEP]
    rows = {key: _embed_sentences(model, answered.documents[key][1]) for key in keys}
    right, wrong = [], []
    for key in keys:
        questions = [q for q in asked.questions if key in asked.grades[q]]
        for question in questions[:QUESTIONS_PER_PARAGRAPH]:
            (vector,) = model.encode_queries([asked.questions[question]])
            right.append((rows[key] @ vector).max())
            wrong.append(max((rows[other] @ vector).max() for other in keys if other != key))
    print(
        f"{label:7} {question_language} {sentence_language}"
        f"  right {np.mean(right):.3f}, lower quartile {np.percentile(right, 25):.3f}"
        f"  wrong {np.mean(wrong):.3f}, 90 % below {np.percentile(wrong, 90):.3f}",
        flush=True,
    )
    return float(np.mean(right)), float(np.mean(wrong))


def _embed_sentences(model: EmbeddingModel, text: str) -> Vectors:
    sentences = [text[slice(*span)] for span, _ in iterate_units(text)]
    return np.concatenate([model.encode([text]) for text in sentences[:SENTENCES_PER_PARAGRAPH]])


if __name__ == "__main__":
    main()
