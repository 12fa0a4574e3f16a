"""Numbers of list items and notes in the formats of ST_NumberFormat."""

# ruff: noqa: RUF001
import pytest

from backend.services.rag.extraction.office.docx.number_sequences import format_number


@pytest.mark.parametrize(
    ("number_format", "count", "expected"),
    [
        ("decimal", 12, "12"),
        ("lowerRoman", 14, "xiv"),
        ("upperRoman", 1999, "MCMXCIX"),
        ("lowerRoman", 5000, "5000"),
        ("lowerLetter", 27, "aa"),
        ("upperLetter", 2, "B"),
        ("decimalZero", 7, "07"),
        ("chicago", 1, "*"),
        ("chicago", 6, "††"),
        ("decimalEnclosedCircle", 3, "③"),
        ("decimalEnclosedCircle", 21, "21"),
        ("decimalFullWidth", 10, "１０"),
        ("numberInDash", 4, "- 4 -"),
        ("ordinal", 22, "22nd"),
        ("ordinal", 13, "13th"),
        ("russianLower", 3, "в"),
        ("hebrew1", 15, "טו"),
        ("arabicAbjad", 2, "ب"),
        ("chineseCounting", 23, "二十三"),
        ("chineseCounting", 105, "一百〇五"),
        ("japaneseCounting", 10, "十"),
        ("ideographTraditional", 3, "丙"),
        ("thaiNumbers", 12, "๑๒"),
        ("unknown", 5, "5"),
        ("lowerRoman", 0, "0"),
    ],
)
def test_number_is_formatted(number_format, count, expected):
    assert format_number(count, number_format) == expected
