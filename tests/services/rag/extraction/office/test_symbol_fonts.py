"""Characters of symbol fonts are decoded to Unicode."""

import pytest

from backend.services.rag.extraction.office.symbol_fonts import (
    decode_character_code,
    decode_symbols,
)


@pytest.mark.parametrize(
    ("font", "code", "expected"),
    [
        ("Symbol", "F0B0", "°"),
        ("Symbol", "F0B1", "±"),
        ("Symbol", "F06D", "μ"),
        ("Symbol", "F0A3", "≤"),
        ("Symbol", "F0D7", "⋅"),
        ("Symbol", "F0D0", "∠"),
        ("Symbol", "F0DE", "⇒"),
        ("Symbol", "F057", "Ω"),
        ("symbol", "00B7", "•"),
        ("Symbol", "F020", " "),
        ("Symbol", "F080", ""),
        ("Wingdings", "F0FC", "✓"),
        ("Wingdings", "F0FB", "✗"),
        ("Wingdings", "F0FE", "☑"),
        ("Wingdings", "F0A8", "□"),
        ("Wingdings", "F0E0", "→"),
        ("Wingdings", "F04A", "☺"),
        ("Wingdings", "F028", "🕿"),
        ("Wingdings", "F08C", "❶"),
        ("Wingdings 2", "F052", "☑"),
        ("Wingdings 2", "F050", "✓"),
        ("Wingdings 2", "F0A3", "□"),
        ("Wingdings 3", "F070", "▲"),
        ("Webdings", "F061", "✔"),
        ("Segoe UI Symbol", "2713", "✓"),
        ("Arial", "00E9", "é"),
        ("Wingdings", "not hexadecimal", ""),
        ("Wingdings", "FFFFFFFF", ""),
        ("Wingdings", "", ""),
    ],
)
def test_character_code_is_decoded(font, code, expected):
    assert decode_character_code(code, font) == expected


def test_text_in_symbol_font_is_decoded():
    assert decode_symbols("\uf0fc a\u00fc", "Wingdings") == "✓ ♋✓"
    assert decode_symbols("5 m", "Symbol") == "5 μ"
    assert decode_symbols("5 m", "Calibri") == "5 m"
