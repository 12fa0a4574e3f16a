"""Measure retrieval by language, with complete documents as chunks, for `retrieval.py`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np

from backend.ai.embedding import BuiltInEmbedder, MultilingualEmbedder, Vectors
from backend.services.rag.domain.search import fusion
from backend.services.rag.store.keyword_index.index import MAX_TERM_SCORE, KeywordIndexCache
from benchmarks.rag.question_sets import QuestionSet, compute_ndcg, read_question_set
from benchmarks.rag.rankings import (
    COLLECTION,
    Ranking,
    build_index,
    rank_by_keywords,
    rank_by_vectors,
)

COLUMNS = ("keyword", "MiniLM", "e5", "MiniLM +", "e5 +")


class Embedded(NamedTuple):
    """A question set with the vectors of its documents and questions under both models."""

    questions: QuestionSet
    documents: tuple[Vectors, Vectors]
    queries: tuple[Vectors, Vectors]


class Library(NamedTuple):
    """Documents, their languages and their vectors under both models."""

    documents: Mapping[str, tuple[str, str]]
    languages: Mapping[str, str]
    vectors: tuple[Vectors, Vectors]


def measure_languages(
    folder: Path, english: BuiltInEmbedder, multilingual: MultilingualEmbedder
) -> None:
    """Print nDCG@10 of questions over documents in the same language, in English, and mixed.

    In the mixed library each document is in one of the languages; the questions are in the same
    language as the document that answers them, or in another one.
    """
    names = sorted(path.name for path in (folder / "xquad-languages").iterdir())
    paths = {
        "en": (folder, "xquad"),
        **{name: (folder / "xquad-languages", name) for name in names},
    }
    sets = {
        language: _embed(read_question_set(*path), english, multilingual)
        for language, path in paths.items()
    }
    print(f"{'':16}" + "".join(f"{column:>10}" for column in COLUMNS))
    for language, embedded in sets.items():
        _print_row(
            f"{language} same", [_score(embedded, _get_library(embedded, language), language)]
        )
    for language, embedded in sets.items():
        if language != "en":
            library = _get_library(sets["en"], "en")
            _print_row(f"{language} cross", [_score(embedded, library, language)])
    mixed = _mix(sets)
    for label, step in (("mixed same", 0), ("mixed cross", 1)):
        _print_row(label, [_score(*part) for part in _select_questions(sets, mixed, step)])


def _embed(
    questions: QuestionSet, english: BuiltInEmbedder, multilingual: MultilingualEmbedder
) -> Embedded:
    texts = [f"{title}\n{text}" for title, text in questions.documents.values()]
    asked = list(questions.questions.values())
    return Embedded(
        questions,
        (english.encode(texts), multilingual.encode(texts)),
        (english.encode_queries(asked), multilingual.encode_queries(asked)),
    )


def _get_library(embedded: Embedded, language: str) -> Library:
    documents = embedded.questions.documents
    return Library(documents, dict.fromkeys(documents, language), embedded.documents)


def _mix(sets: Mapping[str, Embedded]) -> Library:
    """Return a library with each document in one of the languages, in turn."""
    keys = list(sets["en"].questions.documents)
    languages = {key: list(sets)[number % len(sets)] for number, key in enumerate(keys)}
    rows = [
        np.array([sets[languages[key]].documents[model][n] for n, key in enumerate(keys)])
        for model in (0, 1)
    ]
    documents = {key: sets[languages[key]].questions.documents[key] for key in keys}
    return Library(documents, languages, (rows[0], rows[1]))


def _select_questions(
    sets: Mapping[str, Embedded], library: Library, step: int
) -> Iterator[tuple[Embedded, Library, str]]:
    """Yield the questions about documents in the language *step* places before their own."""
    names = list(sets)
    for number, language in enumerate(names):
        answered = names[number - step]
        embedded = sets[language]
        selected = [
            n
            for n, key in enumerate(embedded.questions.questions)
            if library.languages[next(iter(embedded.questions.grades[key]))] == answered
        ]
        keys = list(embedded.questions.questions)
        questions = {keys[n]: embedded.questions.questions[keys[n]] for n in selected}
        queries = embedded.queries[0][selected], embedded.queries[1][selected]
        part = embedded._replace(
            questions=embedded.questions._replace(questions=questions), queries=queries
        )
        yield part, library, language


def _score(embedded: Embedded, library: Library, language: str) -> list[float]:
    """Return nDCG@10 by keywords, by each model, and by keywords together with each model."""
    question_set = embedded.questions._replace(documents=dict(library.documents))
    texts = [f"{title}\n{text}" for title, text in library.documents.values()]
    index = build_index(texts)
    keyword = rank_by_keywords(question_set, texts, index)
    english, multilingual = (
        rank_by_vectors(question_set, library.vectors[model], embedded.queries[model])
        for model in (0, 1)
    )
    evidence = {
        q: _collect_evidence(index, text, keyword[q], multilingual[q], library, language)
        for q, text in question_set.questions.items()
    }
    rankings = (
        keyword,
        english,
        multilingual,
        {q: fusion.fuse_rankings(english[q], keyword[q]) for q in keyword},
        {
            q: fusion.fuse_rankings(
                fusion.prefer_language(multilingual[q], library.languages, language, evidence[q]),
                keyword[q],
                evidence[q].weight,
            )
            for q in keyword
        },
    )
    return [
        fmean(compute_ndcg(ranking[q], question_set.grades[q]) for q in question_set.questions)
        for ranking in rankings
    ]


def _collect_evidence(
    index: KeywordIndexCache,
    question: str,
    keyword: Ranking,
    dense: Ranking,
    library: Library,
    language: str,
) -> fusion.KeywordEvidence:
    terms = index.weigh_terms({COLLECTION: 0}, question)
    total = sum(terms.by_term.values()) or 1.0
    return fusion.KeywordEvidence(
        coverage=terms.coverage,
        match=max(keyword.values(), default=0.0) / (total * MAX_TERM_SCORE),
        margin=fusion.compute_margin(dense, library.languages, language),
    )


def _print_row(label: str, rows: list[list[float]]) -> None:
    means = [fmean(column) for column in zip(*rows, strict=True)]
    print(f"{label:16}" + "".join(f"{mean:10.3f}" for mean in means), flush=True)
