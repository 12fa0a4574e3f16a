"""Markers stand where the words were found, however the text came in pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.ai.citations import Sources, Weaver
from backend.services.agent.clients.runs import Passage
from tests.services.agent.stand_ins import WordEmbedder

TEXT = (
    "Dr. Miller leads the lab. The notice period is three months. The rent is 1,200 euros. "
    "The rent was 900 euros in 2019."
)


def sources(text=TEXT, start=50):
    found = Sources(WordEmbedder(), "What does the lease say?")
    found.add([Passage("doc_1", "lease.pdf", 2, start, start + len(text), text)])
    return found


def woven(cite, *pieces):
    weaver = Weaver(cite)
    return "".join([weaver.feed(piece) for piece in pieces]) + weaver.end()


def test_a_citation_quotes_letter_for_letter():
    found = sources()

    found.cite("The notice period is three months.")

    citation = found.citations[0]
    assert citation.quote == "The notice period is three months."
    assert TEXT[citation.start - 50 : citation.end - 50] == citation.quote


@pytest.mark.parametrize(
    ("said", "quote"),
    [
        pytest.param("You have three months' notice.", "The notice period is", id="other words"),
        pytest.param("The rent is 1200 euros.", "The rent is 1,200", id="number written otherwise"),
        pytest.param("In 2019 the rent was 900 euros.", "The rent was 900", id="right number"),
    ],
)
def test_a_sentence_in_other_words_is_found(said, quote):
    found = sources()

    assert found.cite(said) == 1
    assert found.citations[0].quote.startswith(quote)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param("Bananas are yellow.", id="about something else"),
        pytest.param("The rent is 1,300 euros.", id="another number"),
        pytest.param("It is so.", id="says nothing"),
        pytest.param("1.", id="only a list's number"),
    ],
)
def test_what_no_passage_bears_out_is_not_cited(said):
    found = sources()

    assert found.cite(said) is None
    assert found.citations == []


def test_the_same_sentence_keeps_its_marker():
    found = sources()

    assert found.cite("The notice period is three months.") == 1
    assert found.cite("The rent is 1,200 euros.") == 2
    assert found.cite("The notice period is three months.") == 1
    assert len(found.citations) == 2


def test_overlapping_passages_make_one_citation():
    found = sources()
    found.add([Passage("doc_1", "lease.pdf", 2, 50 + 26, 50 + len(TEXT), TEXT[26:])])

    found.cite("The notice period is three months.")

    assert len(found.citations) == 1


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("One is so. Two is not.", "One is so. [1] Two is not."),
        ("One is so", "One is so [1]"),
        ("One is so.\n\nTwo.", "One is so. [1]\n\nTwo."),
        ("- One is so\n- Two", "- One is so [1]\n- Two"),
        ("One is 3.5 high. Two.", "One is 3.5 high. [1] Two."),
        ("Dr. One is so. Two.", "Dr. One is so. [1] Two."),
        ("One is so [7]. Two [1, 2].", "One is so. [1] Two."),
        ('"One is so." Two.', '"One is so." [1] Two.'),
        ("Two.\n```\nOne is so. x[1]\n```\n", "Two.\n```\nOne is so. x[1]\n```\n"),
        ("Wait... One is so!", "Wait... One is so! [1]"),
        ("", ""),
    ],
)
def test_markers_stand_behind_their_sentences(text, result):
    cite = lambda sentence: 1 if "One" in sentence else None  # noqa: E731

    assert woven(cite, text) == result
    assert woven(cite, *text) == result


@given(st.lists(st.text('ab .!?[1]\n`"', max_size=8), max_size=12))
def test_the_pieces_in_which_a_text_comes_do_not_matter(pieces):
    cite = lambda sentence: len(sentence) % 3 or None  # noqa: E731

    assert woven(cite, *pieces) == woven(cite, "".join(pieces))


@given(st.text('ab .!?\n"', max_size=60))
def test_without_citations_nothing_is_changed(text):
    assert woven(lambda _: None, text) == text
