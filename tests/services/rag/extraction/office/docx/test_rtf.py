"""Text of Rich Text Format, which other programs insert into DOCX files."""

import pytest

from backend.services.rag.extraction.office.docx.rtf import read_rtf
from tests.hostile_texts import find_slow_texts

FONTS = rb"{\fonttbl{\f0\fcharset0 Arial;}{\f1\fcharset204 Arial Cyr;}{\f2\fcharset128 Gothic;}}"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (rb"Plain \b bold\b0  text.\par Next", "Plain bold text.\nNext"),
        (rb"Gr\'f6\'dfe \u8364? 5\~m", "Größe € 5\xa0m"),
        (rb"\f1 \'cd\'ee\'eb\'fc\f0  \'e9", "Ноль é"),
        (rb"\f2 \'93\'fa\'96\'7b", "日本"),
        (rb"{\uc2 \u26085\'93\'fa}{\uc0\u26412}", "日本"),
        (rb"\u-10179?\u-8704?", "😀"),
        (rb"\{a\\b\}", "{a\\b}"),
        (rb"{\*\generator Own;}{\info{\title T}}{\pict\bin3 }}}}text", "text"),
        (rb"a{\v hidden}{\deleted old}b", "ab"),
        (rb"\trowd a\cell b\cell\row c\cell d\cell\row", "a\tb\t\nc\td\t\n"),
        (rb"{\field{\*\fldinst HYPERLINK x}{\fldrslt link}}", "link"),
        (rb"\ldblquote x\rdblquote\emdash y", "“x”—y"),
        (rb"}}} unbalanced \u", " unbalanced "),
    ],
)
def test_text_is_read(content, expected):
    assert read_rtf(rb"{\rtf1\ansi\ansicpg1252" + FONTS + content + b"}") == expected


def test_code_page_is_used():
    assert read_rtf(rb"{\rtf1\ansicpg1250 \'9aid}") == "šid"
    assert read_rtf(rb"{\rtf1\ansicpg99999 \'e9}") == "é"


def test_reading_takes_linear_time():
    assert find_slow_texts(lambda text: read_rtf(text.encode("utf-8", "replace"))) == []
