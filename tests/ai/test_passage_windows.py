"""Windows around the best sentences of search hits."""

from dataclasses import dataclass

import pytest

from backend.ai.answer_options import ANSWER_OPTIONS
from backend.ai.passage_windows import select_windows
from backend.ai.sentence_ranking import rank_sentences
from backend.ai.text.token_estimates import estimate_tokens

FILLER = " ".join(f"Room number {number} is painted white and has a door." for number in range(60))


@dataclass(frozen=True)
class Part:
    text: str
    document_id: str = "doc_1"
    title: str = ""
    section: str = ""
    headings: tuple[str, ...] = ()
    table_header: str = ""
    start: int = 0


class SharedWords:
    """Similarity by the share of the question's words."""

    def compute_similarities(self, question, candidates):
        words = set(question.lower().strip("?").split())
        return [
            len(words & set(candidate.text.lower().strip(".").split())) / len(words)
            for candidate in candidates
        ]


def find_windows(question, chunks, max_tokens):
    ranked = rank_sentences(question, chunks, SharedWords(), ANSWER_OPTIONS)
    return select_windows(ranked, chunks, max_tokens)


def test_chunks_that_fit_are_returned_completely():
    chunks = [Part("The tower is high. It is old."), Part("The bridge is long.")]

    windows = find_windows("How high is the tower?", chunks, 200)

    assert [window.text for window in windows] == [chunk.text for chunk in chunks]


def test_window_contains_the_best_sentence_and_its_neighbours():
    text = f"{FILLER} The tower was begun in May. The tower is 41 metres high. Visitors like it. "
    chunk = Part(text + FILLER)

    windows = find_windows("How high is the tower?", [chunk], 120)

    joined = "\n".join(window.text for window in windows)
    assert "The tower is 41 metres high." in joined
    assert "The tower was begun in May." in joined
    assert "Visitors like it." in joined


def test_windows_stay_within_the_limit_and_keep_the_order_of_chunks():
    chunks = [
        Part(f"{FILLER} The tower is {number} metres high. {FILLER}", document_id=f"doc_{number}")
        for number in range(3)
    ]

    windows = find_windows("How high is the tower?", chunks, 100)

    assert sum(estimate_tokens(window.text) for window in windows) <= 100
    positions = [chunks.index(window.chunk) for window in windows]
    assert positions == sorted(positions)


@pytest.mark.parametrize("count", [3, 5])
def test_windows_contain_the_given_number_of_best_sentences(count):
    towers = [f"Tower number {number} is {40 + number} metres high." for number in range(7)]
    chunk = Part(" ".join(f"{tower} {FILLER}" for tower in towers))

    ranked = rank_sentences("How high is the tower?", [chunk], SharedWords(), ANSWER_OPTIONS)

    windows = select_windows(ranked, [chunk], 400, count)

    text = " ".join(window.text for window in windows)
    assert sum(tower in text for tower in towers) == count


def test_rows_of_a_table_are_described_with_their_columns():
    rows = "\n".join(f"| town {number} | {number * 100} |" for number in range(80))
    chunk = Part(f"| town | inhabitants |\n|---|---|\n{rows}")

    windows = find_windows("How many inhabitants has town 7?", [chunk], 150)

    assert any("700" in window.text and "inhabitants" in window.text for window in windows)


def test_no_windows_without_chunks():
    assert find_windows("How high is the tower?", [], 100) == []
