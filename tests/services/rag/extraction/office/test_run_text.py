"""Runs of text: superscripts, subscripts and phonetic guides stay apart from their words."""

# ruff: noqa: RUF001
import pytest

from backend.services.rag.extraction.office.run_text import RunText


def join(*runs):
    text = RunText()
    for run in runs:
        text.add(*run) if isinstance(run, tuple) else text.add(run)
    return text.to_text()


def raised(text):
    return text, "superscript"


def lowered(text):
    return text, "subscript"


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        (("10", raised("6")), "10⁶"),
        (("10", raised("-"), raised("3"), " m"), "10⁻³ m"),
        (("25 m", raised("2 "), "each"), "25 m² each"),
        (("x", raised("n+1")), "xⁿ⁺¹"),
        (("x", raised("(α)")), "x(α)"),
        (("2", raised("π")), "2^π"),
        (("H", lowered("2"), "O"), "H₂O"),
        (("log", lowered("2"), "8"), "log₂8"),
        (("V", lowered("max")), "Vmax"),
        (("a", lowered("ж")), "aж"),
        (("the 1", raised("st"), " of May"), "the 1st of May"),
        (("le 2", raised("e"), " étage"), "le 2e étage"),
        (("2", raised("n"), " bits"), "2ⁿ bits"),
        (("Total", raised("a")), "Totalᵃ"),
        (("500", raised("3")), "500³"),
        (("word", raised("1, 2")), "word¹, ²"),
        (("Brand", raised("®"), " 20", raised("°"), "C"), "Brand® 20°C"),
        ((raised("1"), " Source: survey"), "¹ Source: survey"),
        ((raised("All of this sentence was raised by 3 points."),),
         "All of this sentence was raised by 3 points."),
        (("a", raised(" "), "b", raised("")), "a b"),
        (("Term", raised(" see note 2")), "Term see note 2"),
        (("e", raised("n + 1")), "eⁿ ⁺ ¹"),
    ],
)  # fmt: skip
def test_raised_and_lowered_text_stays_apart(runs, expected):
    assert join(*runs) == expected


@pytest.mark.parametrize(
    ("words", "following", "expected"),
    [
        ([("漢", "かん"), ("字", "じ")], "", "漢字(かんじ)"),
        ([("漢字", "かんじ")], "、", "漢字(かんじ)、"),
        ([("読", "よ")], "む", "読む"),
        ([("東京", "トウキョウ")], "駅", "東京(トウキョウ)駅"),
        ([("北京", "běijīng")], "の", "北京(běijīng)の"),
        ([("北京", "")], "。", "北京。"),
        ([("", "かんじ")], "。", "。"),
    ],
)
def test_phonetic_guides_follow_their_word(words, following, expected):
    text = RunText()
    for base, reading in words:
        text.add_ruby(base, reading)
    text.add(following)

    assert text.to_text() == expected
