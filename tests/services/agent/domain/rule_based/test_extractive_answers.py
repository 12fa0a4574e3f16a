"""Extractive answers of the agent."""

from dataclasses import replace

import pytest

from backend.ai.sentence_similarities import EmbeddedSimilarities
from backend.services.agent.domain.rule_based.extractive_answers import (
    SearchSimilarities,
    answer_from_chunks,
    extract_first_sentences,
    is_related,
)
from backend.services.agent.model import Chunk
from tests.ai.stand_ins import WordEmbedder

SIMILARITIES = EmbeddedSimilarities(WordEmbedder())


def chunk(text, document_id="doc_1", filename="lease.pdf", start=0):
    return Chunk(document_id, filename, 1, start, start + len(text), text)


LEASE = chunk(
    "# Lease\n\nThe notice period of the lease is three months. The rent is paid in advance. "
    "Pets are allowed in the garden.\n\nSigned in Oslo",
    start=100,
)
FERRIES = chunk("Ferries leave the harbour at dawn.", "doc_2", "ferries.docx")


def test_answer_consists_of_sentences_of_the_chunks():
    answer = answer_from_chunks(
        SIMILARITIES, "How long is the notice period of the lease?", [FERRIES, LEASE]
    )

    assert answer is not None
    assert answer.startswith("The notice period of the lease is three months.")


class UnavailableEmbedder:
    """Fails for every text."""

    def encode(self, texts):
        raise AssertionError(f"embedded {texts}")


def test_similarities_of_the_search_are_used_without_an_embedding():
    text = "The gate is green. Visitors ring twice."
    found = replace(chunk(text, start=50), similarities=[(50, 68, 0.1), (69, 89, 0.9)])
    similarities = SearchSimilarities(UnavailableEmbedder())

    # No word of the question is in the sentence that is most similar.
    assert answer_from_chunks(similarities, "How do guests announce themselves?", [found]) == (
        "Visitors ring twice."
    )


def test_sentences_without_similarities_are_embedded():
    found = replace(LEASE, similarities=[(100, 101, 0.0)])
    similarities = SearchSimilarities(WordEmbedder())

    answer = answer_from_chunks(
        similarities, "How long is the notice period of the lease?", [found]
    )

    assert answer == answer_from_chunks(
        SIMILARITIES, "How long is the notice period of the lease?", [LEASE]
    )


def test_missing_rare_word_lowers_the_support_of_an_answer():
    text = "The notice period of the lease is three months."
    found = replace(chunk(text), similarities=[(0, len(text), 0.3)])
    similarities = SearchSimilarities(UnavailableEmbedder())
    question = "What is the notice period of the Zanzibar lease?"
    weights = {"zanzibar": 9.0, "notic": 0.5, "period": 0.5, "lease": 0.5}

    assert answer_from_chunks(similarities, question, [found]) == text
    assert answer_from_chunks(similarities, question, [found], weights) is None


def test_question_about_another_subject_has_no_answer():
    assert answer_from_chunks(SIMILARITIES, "Who won the championship?", [LEASE]) is None
    assert answer_from_chunks(SIMILARITIES, "Who won the championship?", []) is None


def test_selected_sentences_are_in_the_order_of_the_chunks():
    first = chunk("The key opens the gate of the garden.")
    second = chunk("The key of the garden gate hangs in the hall of the house.", "doc_2")
    question = "Where hangs the key of the garden gate in the hall of the house?"

    answer = answer_from_chunks(SIMILARITIES, question, [first, second])

    assert answer is not None
    assert answer.endswith(second.text)


@pytest.mark.parametrize(
    ("request_text", "beginning"),
    [
        ("Summarise ferries", "Ferries leave the harbour at dawn."),
        ("What is this about?", "Lease. The notice period of the lease is three months."),
    ],
)
def test_summary_is_the_beginning_of_the_named_document_or_of_the_best_hit(request_text, beginning):
    later = chunk("Later text of the lease.", start=900)

    answer = answer_from_chunks(SIMILARITIES, request_text, [later, LEASE, FERRIES])

    assert answer is not None
    assert answer.startswith(beginning)


def test_first_sentences_are_joined_with_full_stops_and_without_markdown():
    assert extract_first_sentences(LEASE) == (
        "Lease. The notice period of the lease is three months. The rent is paid in advance. "
        "Pets are allowed in the garden."
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("位于成都。年假为十八天。", "位于成都。 年假为十八天。"),
        ("वह पुणे में है। छुट्टी है।", "वह पुणे में है। छुट्टी है।"),
        ("食堂位于三号楼\n\n很好", "食堂位于三号楼\n很好"),
        ("Nut\t0.75\nBolt\t1.20", "Nut 0.75. Bolt 1.20."),
        ("It reads [12] now.", r"It reads \[12\] now."),
    ],
)
def test_sentences_keep_their_end_marks_in_any_script(text, expected):
    assert extract_first_sentences(chunk(text)) == expected


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Is the rent of the lease high?", True),
        ("Give me a summary", True),
        ("zebra xylophone?", False),
    ],
)
def test_chunks_are_related_if_a_sentence_shares_the_subject(question, expected):
    assert is_related(SIMILARITIES, question, [LEASE]) is expected
