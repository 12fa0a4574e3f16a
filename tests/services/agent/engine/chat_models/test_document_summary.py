"""Parts of a document for its map-reduce summary."""

import pytest

from backend.ai.text.token_estimates import estimate_tokens
from backend.services.agent.engine.chat_models.document_summary import (
    MAX_PART_TOKENS,
    MAX_SINGLE_TOKENS,
    compute_reading_tokens,
    join_chunks,
    split_into_parts,
)
from backend.services.agent.model import Chunk


def build_chunk(text, start):
    return Chunk("doc_1", "a.md", None, start, start + len(text), text)


def build_text(paragraphs, sentences=4):
    return "\n\n".join(
        " ".join(f"Sentence {number} of paragraph {name} is here." for number in range(sentences))
        for name in range(paragraphs)
    )


def test_overlap_of_chunks_is_joined_once_in_the_order_of_the_document():
    first, second = "One two three. Four five six.", "Four five six. Seven eight."
    chunks = [build_chunk(second, 15), build_chunk(first, 0)]

    assert " ".join(join_chunks(chunks).split()) == f"{first} Seven eight."


def test_short_document_is_one_part():
    text = build_text(20)

    assert estimate_tokens(text) < MAX_SINGLE_TOKENS
    assert split_into_parts(text, 2_000) == [text]


@pytest.mark.parametrize("paragraphs", [50, 80, 200])
def test_parts_cover_the_document_and_are_bounded(paragraphs):
    text = build_text(paragraphs)

    parts = split_into_parts(text, 100_000)

    assert all(estimate_tokens(part) <= MAX_PART_TOKENS + 50 for part in parts)
    assert " ".join(parts).split() == text.split()


def test_long_document_is_shortened_evenly():
    text = build_text(200)

    parts = split_into_parts(text, 1_500)

    joined = " ".join(parts)
    assert estimate_tokens(joined) <= 1_600
    assert "Sentence 0 of paragraph 0 " in joined
    assert any(f"of paragraph {number} " in joined for number in range(190, 200))


def test_long_paragraph_without_breaks_is_divided():
    parts = split_into_parts(build_text(1, sentences=300), 100_000)

    assert len(parts) > 1
    assert all(estimate_tokens(part) <= MAX_PART_TOKENS + 50 for part in parts)


def test_amount_that_is_read_follows_the_speed_within_limits():
    slow, usual, fast = map(compute_reading_tokens, (1.0, 50.0, 10_000.0))

    assert slow < usual < fast
    assert fast == compute_reading_tokens(100_000.0)
