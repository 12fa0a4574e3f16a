"""Properties of the chunks of arbitrary texts."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.ai.embedding import MAX_TOKENS, EmbeddingTokenizer
from backend.services.rag.domain.ingestion.chunking import (
    CHUNK_TOKENS,
    OVERLAP_TOKENS,
    Section,
    build_index_text,
    split_into_chunks,
)

FIND_TOKEN_SPANS = EmbeddingTokenizer().find_token_spans
PROSE = st.lists(
    st.text(alphabet=st.sampled_from("abcde fghij.,-\n äß東京1"), min_size=1, max_size=300),
    max_size=12,
).map(". \n".join)
ANYTHING = st.text(st.characters(exclude_categories=["Cs"]), max_size=2000)


def build_text(count, words=12):
    return " ".join(f"Sentence {n} {'says something ' * (words // 2)}here." for n in range(count))


@settings(max_examples=80)
@given(PROSE | ANYTHING | PROSE.map(lambda text: text * 8))
def test_chunks_are_ordered_slices_that_cover_the_text(text):
    chunks = split_into_chunks(text, FIND_TOKEN_SPANS)

    covered = 0
    for chunk in chunks:
        assert 0 <= chunk.start < chunk.end <= len(text)
        assert not text[covered : chunk.start].strip()
        assert len(FIND_TOKEN_SPANS(text[chunk.start : chunk.end])) <= CHUNK_TOKENS
        covered = max(covered, chunk.end)
    assert not text[covered:].strip()
    starts = [(chunk.start, chunk.end) for chunk in chunks]
    assert starts == sorted(set(starts))
    assert all(a[1] < b[1] for a, b in pairwise(starts))


@given(st.text(max_size=400), st.text(max_size=400), st.integers(0, 30))
def test_chunk_with_header_fits_the_model(title, section, sentences):
    title, section = (text.encode("utf-8", "replace").decode() for text in (title, section))
    for chunk in split_into_chunks(text := build_text(sentences), FIND_TOKEN_SPANS):
        index_text = build_index_text(
            title, section, text[chunk.start : chunk.end], FIND_TOKEN_SPANS
        )
        assert len(FIND_TOKEN_SPANS(index_text)) <= MAX_TOKENS - 2


def test_chunk_starts_with_last_sentences_of_previous_chunk():
    text = build_text(60)
    chunks = split_into_chunks(text, FIND_TOKEN_SPANS)

    assert len(chunks) > 3
    for previous, chunk in pairwise(chunks):
        overlap = len(FIND_TOKEN_SPANS(text[chunk.start : previous.end]))
        assert 0 < overlap <= OVERLAP_TOKENS
        assert text[chunk.start :].startswith("Sentence")


def test_new_section_starts_a_chunk_with_its_title():
    first, second = build_text(6), build_text(6)
    text = f"{first}\n\n{second}"
    sections = [Section(0, "Arrival"), Section(len(first) + 2, "Departure")]

    assert [
        (chunk.start, chunk.section)
        for chunk in split_into_chunks(text, FIND_TOKEN_SPANS, sections)
    ] == [
        (0, "Arrival"),
        (len(first) + 2, "Departure"),
    ]


def test_short_sections_share_a_chunk():
    text = "One.\n\nTwo.\n\nThree."
    sections = [Section(0, "A"), Section(6, "B"), Section(12, "C")]

    assert len(split_into_chunks(text, FIND_TOKEN_SPANS, sections)) == 1


def test_very_long_word_is_split():
    assert len(split_into_chunks("x" * 5000, FIND_TOKEN_SPANS)) > 1


def test_index_text_has_header_and_joined_words():
    text = "A docu-\nment about air-\nFrance and\nlines."

    assert build_index_text("Title", "Section", text, FIND_TOKEN_SPANS) == (
        "Title / Section\nA document about air- France and lines."
    )
    assert build_index_text("Same", "Same", "x", FIND_TOKEN_SPANS) == "Same\nx"


@pytest.mark.parametrize("separator", ["\t", " | "])
def test_chunks_of_a_table_have_whole_rows_and_its_header(separator):
    header = separator.join(["Name", "Ort", "Durchwahl"])
    rows = [separator.join([f"Eva Nr. {n}", "St. Gallen. Haus", str(4000 + n)]) for n in range(90)]
    text = "Liste\n\n" + "\n".join([header, *rows]) + "\n\nDer Text danach ist kein Teil davon."
    lines = set(text.splitlines())

    chunks = split_into_chunks(text, FIND_TOKEN_SPANS)

    assert len(chunks) > 5
    for chunk in chunks:
        assert set(text[chunk.start : chunk.end].splitlines()) <= lines
        repeated = text[slice(*chunk.table_header)]
        assert repeated == (header if text[chunk.start :].startswith("Eva") else "")
        index_text = build_index_text(
            "t" * 99, "s" * 99, text[chunk.start : chunk.end], FIND_TOKEN_SPANS, repeated
        )
        assert len(FIND_TOKEN_SPANS(index_text)) <= MAX_TOKENS - 2
        assert " ".join(repeated.split()) in index_text


def test_rows_longer_than_a_chunk_are_divided_and_the_next_row_is_whole():
    long_row = "Ada\t" + "word " * 600
    text = f"Name\tText\tCode\n{long_row}\nEva\tshort\t7"

    chunks = split_into_chunks(text, FIND_TOKEN_SPANS)

    assert text[chunks[-1].start : chunks[-1].end].endswith("Eva\tshort\t7")
    assert all(
        len(FIND_TOKEN_SPANS(text[chunk.start : chunk.end])) <= CHUNK_TOKENS for chunk in chunks
    )


def test_chunk_has_the_titles_of_the_sections_within_it():
    text = "One is.\n\nTwo is.\n\nThree is."
    sections = [Section(0, "A"), Section(9, "B 2"), Section(18, "C 3")]

    (chunk,) = split_into_chunks(text, FIND_TOKEN_SPANS, sections)

    assert (chunk.section, chunk.headings) == ("A", ("B 2", "C 3"))
