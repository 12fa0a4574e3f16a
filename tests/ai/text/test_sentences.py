"""Sentence splitting of text that was extracted from documents."""
# ruff: noqa: RUF001 - non-Latin letters are intended

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.ai.text.headings import is_title_case
from backend.ai.text.sentences import MAX_SENTENCE_CHARS, find_sentence_spans, split_sentences

EXTRACTED_TEXT = st.text(
    alphabet=st.sampled_from("ab A.!?\n\t-#13D(\"'。”\u2028\x1c"), max_size=200
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"], id="punctuation"),
        pytest.param(
            'He said "stop." Then he left.', ['He said "stop."', "Then he left."], id="quotes"
        ),
        pytest.param(
            "Dr. Ada met Prof. B. Crane at 5 p.m. in St. Ives.",
            ["Dr. Ada met Prof. B. Crane at 5 p.m. in St. Ives."],
            id="abbreviations",
        ),
        pytest.param(
            "See Fig. 3 for e.g. this. Then go.",
            ["See Fig. 3 for e.g. this.", "Then go."],
            id="abbreviations before digits",
        ),
        pytest.param(
            "It opened on Dec. 5 in the U.N. Plaza.",
            ["It opened on Dec. 5 in the U.N. Plaza."],
            id="months",
        ),
        pytest.param(
            "Es endet am 31. März 2029. Im 3. Quartal ruht es. Er hat 5. Dann ging er.",
            ["Es endet am 31. März 2029.", "Im 3. Quartal ruht es.", "Er hat 5.", "Dann ging er."],
            id="German ordinals",
        ),
        pytest.param(
            "Das regelt § 288 Abs. 2 BGB. Hr. Lutz zahlt am 24. Dez. 3 Mio. Euro. Ende.",
            ["Das regelt § 288 Abs. 2 BGB.", "Hr. Lutz zahlt am 24. Dez. 3 Mio. Euro.", "Ende."],
            id="German abbreviations",
        ),
        pytest.param(
            "EE. UU. firmó. La Sra. Pil vive en Av. 5. Ver pág. 12. Fin.",
            ["EE. UU. firmó.", "La Sra. Pil vive en Av. 5.", "Ver pág. 12.", "Fin."],
            id="Spanish abbreviations",
        ),
        pytest.param(
            "Основан в 1958 г. Живёт в г. Псков, тел. 8-800. Конец.",
            ["Основан в 1958 г.", "Живёт в г. Псков, тел. 8-800.", "Конец."],
            id="Russian years",
        ),
        pytest.param(
            "He said no. She has No. 5. It holds 9.5 l. Fill it.",
            ["He said no.", "She has No. 5.", "It holds 9.5 l.", "Fill it."],
            id="words like abbreviations",
        ),
        pytest.param("It costs 3.50 e.g. today.", ["It costs 3.50 e.g. today."], id="numbers"),
        pytest.param("これは文。次の文。終", ["これは文。", "次の文。", "終"], id="Japanese"),
        pytest.param(
            "A line that is broken by the width of\nthe page goes on. Next.",
            ["A line that is broken by the width of\nthe page goes on.", "Next."],
            id="wrapped lines",
        ),
        pytest.param(
            "Opening hours\nThe library is open from nine in the morning until noon.",
            ["Opening hours", "The library is open from nine in the morning until noon."],
            id="short heading",
        ),
        pytest.param(
            "The Birth of Printing (1440)\nThe first press stood in\nMainz. It was slow.",
            ["The Birth of Printing (1440)", "The first press stood in\nMainz.", "It was slow."],
            id="heading in title case",
        ),
        pytest.param(
            "However OTSL\nyields more. See Table 1. It is",
            ["However OTSL\nyields more.", "See Table 1.", "It is"],
            id="title case before lower case",
        ),
        pytest.param("# Title\nText of it.", ["# Title", "Text of it."], id="Markdown heading"),
        pytest.param("- one\n- two\n1. three", ["- one", "- two", "1. three"], id="list"),
        pytest.param("List:\n- one\n- two", ["List:", "- one", "- two"], id="list after a colon"),
        pytest.param("First\n\nSecond", ["First", "Second"], id="paragraphs"),
        pytest.param(
            "**One is so.** Two is so.", ["**One is so.**", "Two is so."], id="end of an emphasis"
        ),
        pytest.param("你好!再见?好", ["你好!", "再见?", "好"], id="ASCII marks in Chinese"),
        pytest.param("他说：“好。”然后走了。", ["他说：“好。”", "然后走了。"], id="Chinese quotes"),
        pytest.param("値は３．５です。次。", ["値は３．５です。", "次。"], id="wide full stop"),
        pytest.param("यह एक है। वह दो है॥", ["यह एक है।", "वह दो है॥"], id="Hindi"),
        pytest.param("یہ ایک ہے۔ کیا یہ؟ ہاں", ["یہ ایک ہے۔", "کیا یہ؟", "ہاں"], id="Urdu"),
        pytest.param("ကျောင်းပါ။ ဟုတ်ကဲ့။", ["ကျောင်းပါ။", "ဟုတ်ကဲ့။"], id="Burmese"),
        pytest.param("ይህ ነው። ያ ነው፧", ["ይህ ነው።", "ያ ነው፧"], id="Amharic"),
        pytest.param("Սա է։ Նա է։", ["Սա է։", "Նա է։"], id="Armenian"),
        pytest.param(
            "ร้านเปิดทุกวันยกเว้นวันอาทิตย์และวันหยุดราชการ "
            "ราคา 500 บาทต่อคืนสำหรับห้องพักเดี่ยวที่มีระเบียง ติดต่อได้ที่โทร 02 123 4567 ทุกวัน",
            [
                "ร้านเปิดทุกวันยกเว้นวันอาทิตย์และวันหยุดราชการ",
                "ราคา 500 บาทต่อคืนสำหรับห้องพักเดี่ยวที่มีระเบียง",
                "ติดต่อได้ที่โทร 02 123 4567 ทุกวัน",
            ],
            id="Thai clauses",
        ),
        pytest.param(
            "Phone: 0221 4455\nRoom: B-117\nFax: 0221 4456",
            ["Phone: 0221 4455", "Room: B-117", "Fax: 0221 4456"],
            id="labelled lines",
        ),
        pytest.param(
            "Téléphone : 02 21 44\nBureau\u00a0: B-117\nFax\u202f:\u00a002 21 45\n電話：12",
            ["Téléphone : 02 21 44", "Bureau\u00a0: B-117", "Fax\u202f:\u00a002 21 45", "電話：12"],
            id="labelled lines with a space before the colon",
        ),
        pytest.param(
            "สำนักงานใหญ่อยู่ที่เชียงใหม่\nวันลาพักร้อนปีละสิบแปดวัน",
            ["สำนักงานใหญ่อยู่ที่เชียงใหม่", "วันลาพักร้อนปีละสิบแปดวัน"],
            id="Thai lines",
        ),
        pytest.param(
            "ສຳນັກງານໃຫຍ່ຢູ່ວຽງຈັນ\nວັນພັກປີລະສິບແປດວັນ",
            ["ສຳນັກງານໃຫຍ່ຢູ່ວຽງຈັນ", "ວັນພັກປີລະສິບແປດວັນ"],
            id="Lao lines",
        ),
        pytest.param(
            "Код двери 4711\nТелефон 22-33", ["Код двери 4711", "Телефон 22-33"], id="Russian list"
        ),
        pytest.param("Türcode 4711\nRaum B 12", ["Türcode 4711", "Raum B 12"], id="German list"),
        pytest.param(
            "门的密码四七一一\n电话二二三三",
            ["门的密码四七一一", "电话二二三三"],
            id="Chinese list",
        ),
        pytest.param(
            "ร้านเปิดทุกวันยกเว้นวันอาทิตย์และวันหยุดราชการรวมถึงวันสงกรานต์\n"
            "และวันปีใหม่ของทุกปีตามประกาศของทางราชการที่ออกเมื่อต้นปีนี้",
            [
                (
                    "ร้านเปิดทุกวันยกเว้นวันอาทิตย์และวันหยุดราชการรวมถึงวันสงกรานต์\n"
                    "และวันปีใหม่ของทุกปีตามประกาศของทางราชการที่ออกเมื่อต้นปีนี้"
                )
            ],
            id="wrapped Thai lines",
        ),
        pytest.param(
            "Der Verein hat seinen Sitz in der Stadt\nKöln und betreibt dort ein Museum",
            ["Der Verein hat seinen Sitz in der Stadt\nKöln und betreibt dort ein Museum"],
            id="wrapped lines without an end mark",
        ),
        pytest.param(
            "Dr. A. Lee\tHall 3. Left door.\nMs. B. Fox\tHall 4.",
            ["Dr. A. Lee\tHall 3. Left door.", "Ms. B. Fox\tHall 4."],
            id="table rows with full stops",
        ),
        pytest.param("-\tOne is. Two is.", ["-\tOne is.", "Two is."], id="numbered paragraph"),
        pytest.param(
            "| A | B |\n|---|---|\n| x | y |",
            ["| A | B |", "|---|---|", "| x | y |"],
            id="Markdown table",
        ),
        pytest.param(
            "Travel policy\n=====\nThe rate is low.",
            ["Travel policy\n=====", "The rate is low."],
            id="Setext heading",
        ),
        pytest.param(" \n \t", [], id="white space"),
        pytest.param("", [], id="empty"),
    ],
)
def test_text_is_split_at_sentence_ends(text, expected):
    assert [text[start:end] for start, end in find_sentence_spans(text)] == expected
    assert [sentence.text for sentence in split_sentences(text)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "Team\tCity\nblues\tSTL\nFlyers\tPHI",
            ["Team\tCity", "blues\tSTL", "Flyers\tPHI"],
            id="table rows",
        ),
        pytest.param(
            "1. First do this. 2. Then that.",
            ["1. First do this.", "2. Then that."],
            id="list numbers",
        ),
        pytest.param("1.\n2. Two.", ["1.", "2. Two."], id="list number without a sentence"),
        pytest.param(
            "中文，" * 150, ["中文，" * 133, "中文，" * 17], id="long text without spaces"
        ),
        pytest.param("word " * 100, ["word " * 79 + "word", "word " * 19 + "word"], id="long text"),
    ],
)
def test_quotable_sentences_are_rows_items_and_bounded_pieces(text, expected):
    assert [sentence.text for sentence in split_sentences(text)] == expected


def test_marks_without_words_belong_to_the_next_sentence():
    sentences = [sentence.text for sentence in split_sentences("Contents. . . . . 7. ! The end.")]

    assert sentences == ["Contents.", ". . . . 7.", "! The end."]


@given(EXTRACTED_TEXT)
def test_every_visible_character_is_in_exactly_one_span(text):
    spans = find_sentence_spans(text)

    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(one.end <= other.start for one, other in pairwise(spans))
    inside = "".join(text[start:end] for start, end in spans)
    assert "".join(inside.split()) == "".join(text.split())


@given(st.text("ab .\n\t!-3D", max_size=1_500))
def test_quotable_sentences_have_their_position_and_contain_all_visible_text(text):
    sentences = split_sentences(text)

    assert all(text[item.start : item.end] == item.text for item in sentences)
    assert all(item.text for item in sentences)
    assert all(len(item.text) <= MAX_SENTENCE_CHARS or item.is_row for item in sentences)
    assert all(one.end <= other.start for one, other in pairwise(sentences))
    assert "".join("".join(item.text.split()) for item in sentences) == "".join(text.split())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("The Birth of Printing", True),
        ("The birth of printing", False),
        ("The Press Stood in Mainz.", False),
        ("Place: Mainz", False),
        ("1440", False),
        ("", False),
    ],
)
def test_is_title_case_requires_capitals_and_no_punctuation(line, expected):
    assert is_title_case(line) is expected
