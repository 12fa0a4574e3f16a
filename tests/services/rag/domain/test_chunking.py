"""What must hold for the passages of any text at all."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from backend.ai.embedding import MAX_TOKENS, Tokens
from backend.services.rag.domain.chunking import (
    CHUNK_TOKENS,
    OVERLAP_TOKENS,
    Section,
    chunk,
    indexed,
)

SPANS = Tokens().spans
PROSE = st.lists(
    st.text(alphabet=st.sampled_from("abcde fghij.,-\n äß東京1"), min_size=1, max_size=300),
    max_size=12,
).map(". \n".join)
ANYTHING = st.text(st.characters(exclude_categories=["Cs"]), max_size=2000)


def numbered(count, words=12):
    return " ".join(f"Sentence {n} {'says something ' * (words // 2)}here." for n in range(count))


@settings(max_examples=80, deadline=None)
@given(PROSE | ANYTHING | PROSE.map(lambda text: text * 8))
def test_passages_are_slices_in_order_that_leave_nothing_out(text):
    chunks = chunk(text, SPANS)

    covered = 0
    for found in chunks:
        assert 0 <= found.start < found.end <= len(text)
        assert not text[covered : found.start].strip()
        assert len(SPANS(text[found.start : found.end])) <= CHUNK_TOKENS
        covered = max(covered, found.end)
    assert not text[covered:].strip()
    starts = [(found.start, found.end) for found in chunks]
    assert starts == sorted(set(starts))
    assert all(a[1] < b[1] for a, b in pairwise(starts))


@settings(deadline=None)
@given(st.text(max_size=400), st.text(max_size=400), st.integers(0, 30))
def test_a_passage_under_its_header_still_fits_the_model(title, section, sentences):
    title, section = (text.encode("utf-8", "replace").decode() for text in (title, section))
    for found in chunk(text := numbered(sentences), SPANS):
        whole = indexed(title, section, text[found.start : found.end], SPANS)
        assert len(SPANS(whole)) <= MAX_TOKENS - 2


def test_a_passage_begins_with_the_last_sentences_of_the_one_before():
    text = numbered(60)
    chunks = chunk(text, SPANS)

    assert len(chunks) > 3
    for one, other in pairwise(chunks):
        shared = len(SPANS(text[other.start : one.end]))
        assert 0 < shared <= OVERLAP_TOKENS
        assert text[other.start :].startswith("Sentence")


def test_a_new_section_begins_a_new_passage_and_names_it():
    first, second = numbered(6), numbered(6)
    text = f"{first}\n\n{second}"
    sections = [Section(0, "Arrival"), Section(len(first) + 2, "Departure")]

    assert [(found.start, found.section) for found in chunk(text, SPANS, sections)] == [
        (0, "Arrival"),
        (len(first) + 2, "Departure"),
    ]


def test_tiny_sections_share_a_passage():
    text = "One.\n\nTwo.\n\nThree."
    sections = [Section(0, "A"), Section(6, "B"), Section(12, "C")]

    assert len(chunk(text, SPANS, sections)) == 1


def test_a_word_without_end_is_cut_all_the_same():
    assert len(chunk("x" * 5000, SPANS)) > 1


def test_what_is_indexed_has_its_header_and_whole_words():
    text = "A docu-\nment about air-\nFrance and\nlines."

    assert indexed("Title", "Section", text, SPANS) == (
        "Title / Section\nA document about air- France and lines."
    )
    assert indexed("Same", "Same", "x", SPANS) == "Same\nx"
