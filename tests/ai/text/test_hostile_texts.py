"""Text processing takes linear time on any text: it holds the interpreter lock of its process."""

import pytest

from backend.ai.citations import CitationInserter
from backend.ai.follow_ups import Turn, rewrite_follow_up
from backend.ai.prompt_framing import frame_untrusted_text
from backend.ai.text.encodings import decode_text
from backend.ai.text.headings import is_title_case
from backend.ai.text.html import extract_html_text
from backend.ai.text.normalization import normalize
from backend.ai.text.quotes import format_statement
from backend.ai.text.sentences import split_sentences
from backend.ai.text.statements import find_statements
from backend.ai.text.terms import extract_terms
from tests.hostile_texts import LENGTH, find_slow_texts, is_linear


def insert_citations(text):
    inserter = CitationInserter(lambda sentence: None)
    return inserter.feed(text) + inserter.finish()


def insert_citations_piece_by_piece(text):
    inserter = CitationInserter(lambda sentence: None)
    return "".join(inserter.feed(char) for char in text[:LENGTH]) + inserter.finish()


def format_statements(text):
    return [format_statement(text, statement) for statement in find_statements(text)]


FUNCTIONS = {
    "format_statements": format_statements,
    "split_sentences": split_sentences,
    "is_title_case": is_title_case,
    "extract_terms": extract_terms,
    "normalize": lambda text: normalize("NFC", text),
    "decode_text": lambda text: decode_text(text.encode() + b"\n\xe9"),
    "extract_html_text": extract_html_text,
    "extract_html_title": lambda text: extract_html_text(f"<title>{text}"),
    "frame_untrusted_text": lambda text: frame_untrusted_text("page", text),
    "insert_citations": insert_citations,
    "insert_citations_piece_by_piece": insert_citations_piece_by_piece,
    "rewrite_follow_up": lambda text: rewrite_follow_up(text, [Turn("user", text)]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_time_grows_linearly_with_the_length_of_a_text(name):
    extract_terms("é")  # builds tables on first use

    assert find_slow_texts(FUNCTIONS[name]) == []


def test_line_breaks_after_a_long_paragraph_take_linear_time():
    def extract(text):
        return extract_html_text(f"<p>{'a' * len(text)}{text}")

    assert is_linear(extract, "<br>")
