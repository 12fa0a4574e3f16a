"""Text of answers."""

from backend.services.rag.domain.answers import format_quote


def test_quote_is_joined_to_one_line_without_bullet_and_hyphenation():
    assert format_quote("• The docu-\nment  was\nread.") == "The document was read."
