"""Measure the cosine similarities of questions with sentences under both built-in models.

    python -m benchmarks.rag.similarity_scale DATA

DATA contains `xquad`, and `xquad-languages` with a folder for each language. For each question, the
best similarity with a sentence of its paragraph, and with a sentence of other paragraphs, is
measured. The printed factor and offset map the means of the multilingual model to those of the
model for English (`rag/domain/embeddings/sentence_models.py`).
"""

import sys
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np

from backend.ai.embedding import BuiltInEmbedder, EmbeddingModel, MultilingualEmbedder
from backend.ai.text.sentences import iterate_units
from benchmarks.rag.question_sets import QuestionSet, read_question_set

PARAGRAPHS = 48
QUESTIONS_PER_PARAGRAPH = 3
OTHER_PARAGRAPHS = 4


class Similarities(NamedTuple):
    """Mean best similarities with the paragraph of a question, and with other paragraphs."""

    right: float
    wrong: float


def main() -> None:
    folder = Path(sys.argv[1])
    english = read_question_set(folder, "xquad")
    languages = sorted(path.name for path in (folder / "xquad-languages").iterdir())
    sets = [english, *(read_question_set(folder / "xquad-languages", name) for name in languages)]
    target = _measure(BuiltInEmbedder(), english)
    print(f"English model   xquad  right {target.right:.3f}  wrong {target.wrong:.3f}")
    measured = []
    for question_set in sets:
        measured.append(_measure(MultilingualEmbedder(), question_set))
        print(
            f"multilingual   {question_set.name:6}  right {measured[-1].right:.3f}"
            f"  wrong {measured[-1].wrong:.3f}",
            flush=True,
        )
    right, wrong = fmean(item.right for item in measured), fmean(item.wrong for item in measured)
    factor = (target.right - target.wrong) / (right - wrong)
    print(f"factor {factor:.3f}  offset {target.right - factor * right:.3f}")


def _measure(embedder: EmbeddingModel, question_set: QuestionSet) -> Similarities:
    documents = list(question_set.documents)[:: len(question_set.documents) // PARAGRAPHS]
    rows = {key: _embed_sentences(embedder, question_set.documents[key][1]) for key in documents}
    right, wrong = [], []
    for number, key in enumerate(documents):
        questions = [
            text for q, text in question_set.questions.items() if key in question_set.grades[q]
        ][:QUESTIONS_PER_PARAGRAPH]
        others = [
            documents[(number + step) % len(documents)] for step in range(1, OTHER_PARAGRAPHS + 1)
        ]
        for question in questions:
            (vector,) = embedder.encode_queries([question])
            right.append(float((rows[key] @ vector).max()))
            wrong.append(max(float((rows[other] @ vector).max()) for other in others))
    return Similarities(fmean(right), fmean(wrong))


def _embed_sentences(embedder: EmbeddingModel, text: str) -> np.ndarray:
    sentences = [text[slice(*span)] for span, _ in iterate_units(text)]
    return np.concatenate([embedder.encode([sentence]) for sentence in sentences])


if __name__ == "__main__":
    main()
