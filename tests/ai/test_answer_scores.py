"""Scores of an answer against the expected answers."""

import pytest

from backend.ai.answer_scores import CITED, SCORE_NAMES, score_answer, zero_scores
from backend.ai.citations import Citation
from tests.ai.stand_ins import WordEmbedder


def cite(document_id, filename):
    return Citation(1, document_id, filename, None, 0, 4, "Text")


@pytest.mark.parametrize(
    ("answer", "exact", "contains", "f1"),
    [
        ("The three months. [1]", 1.0, 1.0, 1.0),
        ("It is three months long.", 0.0, 1.0, 4 / 7),
        ("Thirteen months", 0.0, 0.0, 0.5),
        ("", 0.0, 0.0, 0.0),
    ],
)
def test_texts_are_compared_without_case_punctuation_articles_and_markers(
    answer, exact, contains, f1
):
    scores = score_answer(answer, ["Three months!"], WordEmbedder())

    assert scores["exact"] == exact
    assert scores["contains"] == contains
    assert scores["f1"] == pytest.approx(f1)


def test_best_of_several_expected_answers_counts():
    scores = score_answer("In Oslo", ["Bergen", "in Oslo"], WordEmbedder())

    assert scores["exact"] == 1.0
    assert scores["similarity"] == pytest.approx(1.0)


def test_empty_answer_has_no_similarity():
    assert score_answer(" [1]", ["Oslo"], WordEmbedder())["similarity"] == 0.0


@pytest.mark.parametrize(
    ("citations", "required", "score"),
    [
        ([], [], 0.0),
        ([cite("doc_1", "a.pdf")], [], 1.0),
        ([cite("doc_1", "a.pdf")], ["a.pdf", "b.pdf"], 0.5),
        ([cite("doc_1", "a.pdf"), cite("doc_2", "b.pdf")], ["doc_1", "b.pdf"], 1.0),
    ],
)
def test_citation_score_is_the_share_of_required_documents(citations, required, score):
    scores = score_answer(
        "Oslo", ["Oslo"], WordEmbedder(), citations=citations, required_documents=required
    )

    assert scores[CITED] == score


def test_citations_are_scored_only_if_they_are_given():
    assert CITED not in score_answer("Oslo", ["Oslo"], WordEmbedder())


def test_missing_answer_has_zero_for_each_score():
    assert zero_scores(with_citations=True) == dict.fromkeys(SCORE_NAMES, 0.0)
    assert CITED not in zero_scores(with_citations=False)
