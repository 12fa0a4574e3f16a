"""Citations are found for sentences that the document text supports, and for no others."""

import pytest

from backend.ai.citations import CitationFinder
from backend.ai.replies import Reply, get_reply
from tests.ai.stand_ins import StoredChunk, WordEmbedder

TEXT = (
    "Dr. Miller leads the lab. The notice period is three months. The rent is 1,200 euros. "
    "The rent was 900 euros in 2019. There are 12 flats."
)
START = 50


class UnavailableEmbedder:
    """Fails for every text."""

    def encode(self, texts):
        raise AssertionError(f"embedded {texts}")


@pytest.fixture
def finder():
    finder = CitationFinder(WordEmbedder(), "What does the lease say?")
    finder.add_chunks([StoredChunk(TEXT, start=START)])
    return finder


def test_quote_is_the_exact_document_text(finder):
    finder.cite_sentence("The notice period is three months.")

    citation = finder.citations[0]
    assert citation.quote == "The notice period is three months."
    assert TEXT[citation.start - START : citation.end - START] == citation.quote
    assert (citation.document_id, citation.filename, citation.page) == ("doc_1", "lease.pdf", 2)


@pytest.mark.parametrize(
    ("statement", "quote"),
    [
        pytest.param("You have three months' notice.", "The notice period is", id="other words"),
        pytest.param("The rent is 1200 euros.", "The rent is 1,200", id="other number format"),
        pytest.param("In 2019 the rent was 900 euros.", "The rent was 900", id="right number"),
        pytest.param("Die Wohnung kostete damals 900.", "The rent was 900", id="other language"),
    ],
)
def test_paraphrased_sentence_is_cited(finder, statement, quote):
    assert finder.cite_sentence(statement) == 1
    assert finder.citations[0].quote.startswith(quote)


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("Bananas are yellow.", id="other subject"),
        pytest.param("The rent is 1,300 euros.", id="other number"),
        pytest.param("Es kostet 12 Taler.", id="short number of another subject"),
        pytest.param("It is so.", id="no content"),
        pytest.param("1.", id="list number"),
    ],
)
def test_unsupported_sentence_is_not_cited(finder, statement):
    assert finder.cite_sentence(statement) is None
    assert finder.citations == []


@pytest.mark.parametrize(
    ("sentence", "quote"),
    [
        pytest.param("The rent is 1,200 euros.", "The rent is 1,200 euros.", id="sentence"),
        pytest.param("**The rent is 1,200 euros**", "The rent is 1,200 euros.", id="emphasis"),
        pytest.param("The notice period is three", "The notice period is three months.", id="part"),
    ],
)
def test_quoted_sentence_is_cited_without_an_embedding(sentence, quote):
    finder = CitationFinder(UnavailableEmbedder(), "What does the lease say?")
    finder.add_chunks([StoredChunk(TEXT, start=START)])

    assert finder.cite_sentence(sentence) == 1
    assert finder.citations[0].quote == quote


def test_statement_that_nothing_was_found_is_not_cited():
    finder = CitationFinder(UnavailableEmbedder(), "What does the lease say?")
    finder.add_chunks([StoredChunk("Nothing was found in the documents of the lease.")])

    for question in ("Where is it?", "Wo liegt der Schlüssel?", "钥匙在哪里？"):  # noqa: RUF001
        assert finder.cite_sentence(get_reply(Reply.NOTHING_FOUND, question)) is None


def test_quote_with_another_number_is_not_cited(finder):
    finder.add_chunks([StoredChunk("The fee is 15 euros.", document_id="doc_2")])

    assert finder.cite_sentence("The fee is 1.5 euros.") is None


def test_repeated_sentence_gets_the_same_marker(finder):
    assert finder.cite_sentence("The notice period is three months.") == 1
    assert finder.cite_sentence("The rent is 1,200 euros.") == 2
    assert finder.cite_sentence("The notice period is three months.") == 1
    assert len(finder.citations) == 2


def test_sentence_of_overlapping_chunks_is_cited_once(finder):
    finder.add_chunks([StoredChunk(TEXT[26:], start=START + 26)])

    finder.cite_sentence("The notice period is three months.")

    assert len(finder.citations) == 1


def test_finder_without_chunks_is_false_and_cites_nothing():
    finder = CitationFinder(WordEmbedder(), "What does the lease say?")

    assert not finder
    assert finder.cite_sentence("The rent is 1,200 euros.") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the register reads [12]", True),
        ("traffic rose [4, 5]", True),
        ("the register reads [13]", False),
        ("another word [12]", False),
    ],
)
def test_brackets_of_the_chunks_are_known_by_the_word_before_them(text, expected):
    finder = CitationFinder(WordEmbedder(), "What does it read?")
    finder.add_chunks([StoredChunk("The register reads [12]. Traffic rose [4, 5].")])

    assert finder.is_bracket_of_text(text) is expected


def test_headings_are_not_cited_and_rows_are_cited_with_their_columns():
    finder = CitationFinder(WordEmbedder(), "What is the price?")
    finder.add_chunks([StoredChunk("# Price list 2026\n\nPart\tPrice\nNut\t0.75\nBolt\t1.20")])

    assert finder.cite_sentence("Price list 2026") is None
    assert finder.cite_sentence("Part: Bolt; Price: 1.20.") == 1
    assert finder.citations[0].quote == "Bolt\t1.20"


def test_quoted_title_of_two_lines_is_cited_where_it_stands():
    text = (
        "LayoutParser: A Unified Toolkit for Deep\nLearning Based Document Image Analysis\n\n"
        "Deep learning based approaches are the state of the art for document image analysis tasks."
    )
    finder = CitationFinder(UnavailableEmbedder(), "What is this document about?")
    finder.add_chunks([StoredChunk(text)])

    finder.cite_sentence("Learning Based Document Image Analysis.")

    assert finder.citations[0].quote == "Learning Based Document Image Analysis"
