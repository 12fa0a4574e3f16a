"""Superscripts, subscripts, ruby text and formulas within a sentence."""
# ruff: noqa: RUF001 - non-Latin letters are intended

import pytest

from backend.ai.text.html import extract_html_text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("6·10<sup>5</sup> Stück", "6·10⁵ Stück"),
        ("3·10<sup>-7</sup> m", "3·10⁻⁷ m"),
        ("10<sup>−12</sup>", "10⁻¹²"),
        ("450<sup>2</sup> in allen", "450² in allen"),
        ("limit 500<sup><a href='#n3'>3</a></sup>.", "limit 500³."),
        ("500<a href='#n'><sup>1, 2</sup></a>", "500¹, ²"),
        ("note<sup>[4]</sup>", "note[4]"),
        ("m<sup>2</sup> и м<sup>3</sup>", "m² и м³"),
        ("the 4<sup>th</sup>, le 1<sup>er</sup>, XX<sup>e</sup>", "the 4th, le 1er, XXᵉ"),
        ("x<sup>n</sup>, e<sup>x</sup>, 2<sup>n+1</sup>, 2<sup>3x</sup>", "xⁿ, eˣ, 2ⁿ⁺¹, 2^(3x)"),
        ("SO<sub>4</sub><sup>2−</sup>, H<sub>2</sub>O", "SO₄²⁻, H₂O"),
        ("1011<sub>2</sub>, log<sub>10</sub>100", "1011₂, log₁₀100"),
        ("3<sup>1</sup>/<sub>4</sub>", "3¹/₄"),
        ("<ol><li><sup>3</sup>He</ol>", "1. ³He"),
        ("a<sup></sup>b<sup> </sup>c", "ab c"),
        ('10<span style="vertical-align: super; font-size: 70%">6</span>', "10⁶"),
        ('CO<font style="vertical-align:SUB">2</font>', "CO₂"),
        ('10 <span style="vertical-align: baseline">6</span>', "10 6"),
    ],
)
def test_raised_and_lowered_digits_stay_apart(markup, text):
    assert extract_html_text(markup).text == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<ruby>漢<rt>かん</rt>字<rt>じ</rt></ruby>。", "漢字(かんじ)。"),
        ("<ruby>漢<rp>(</rp><rt>かん</rt><rp>)</rp>字<rp>(</rp><rt>じ</rt></ruby>", "漢字(かんじ)"),
        ("<ruby><rb>東<rb>京<rt>とう<rt>きょう</ruby>", "東京(とうきょう)"),
        ("<ruby><rb>東京<rt>とうきょう<rtc>Tokyo</rtc></ruby>", "東京(とうきょう Tokyo)"),
        ("<ruby>市<rt>し</rt></ruby><ruby>所<rt>しょ</rt></ruby>、", "市所(ししょ)、"),
        ("<ruby>食<rt>た</rt></ruby>べる", "食べる"),
        ("<ruby>北<rt>ㄅㄟˇ</rt>京<rt>ㄐㄧㄥ</rt></ruby>市", "北京(ㄅㄟˇㄐㄧㄥ)市"),
        ("<ruby>中国<rt>Zhōngguó</rt></ruby>", "中国(Zhōngguó)"),
        ("<p><ruby>語<rt>ご</rt></ruby></p>次", "語(ご)\n\n次"),
        ("<table><tr><td><ruby>語<rt>ご</rt></ruby><td>b</table>", "語(ご)\tb"),
    ],
)
def test_ruby_text_does_not_split_words(markup, text):
    assert extract_html_text(markup).text == text


FRACTION = "<mfrac><mrow><mi>a</mi><mo>+</mo><mi>b</mi></mrow><mn>2</mn></mfrac>"


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        ("<mi>F</mi><mo>=</mo><mi>m</mi><mi>a</mi>", "F = ma"),
        (f"{FRACTION}<mo>&lt;</mo><mo>-</mo><mn>3</mn>", "(a + b)/2 < -3"),
        ("<mfrac><mn>3</mn><mn>4</mn></mfrac>", "3/4"),
        ("<msup><mn>10</mn><mrow><mo>-</mo><mn>6</mn></mrow></msup>", "10^-6"),
        ("<msubsup><mi>x</mi><mi>i</mi><mn>2</mn></msubsup>", "x_i^2"),
        ("<msqrt><mn>2</mn><mi>x</mi></msqrt><mroot><mi>y</mi><mn>3</mn></mroot>", "√(2x)³√(y)"),
        ("<mover><mi>v</mi><mo>→</mo></mover>", "v→"),
        ("<munderover><mo>∑</mo><mi>i</mi><mi>n</mi></munderover><mi>i</mi>", "∑_i^n i"),
        ("<mfenced open='['><mi>a</mi><mi>b</mi></mfenced>", "[a,b)"),
        ("<mtable><mtr><mtd>1</mtd><mtd>2</mtd></mtr><mtr><mtd>3</mtd></mtr></mtable>", "1, 2; 3"),
        ("<mi>f</mi><mo>\u2061</mo><mo>(</mo><mi>x</mi><mo>)</mo>", "f(x)"),
        ("<mi>x</mi><mtext>wenn</mtext><mi>y</mi>", "x wenn y"),
        (
            "<semantics><mi>z</mi><annotation encoding='x-tex'>\\zeta</annotation></semantics>",
            "z",
        ),
        ("<mfrac></mfrac>", "/"),
    ],
)
def test_formula_is_written_in_one_line(formula, text):
    assert extract_html_text(f"vor <math>{formula}</math> nach").text == f"vor {text} nach"


def test_alternative_text_of_an_empty_formula_is_used():
    markup = "a <math alttext='E = mc^2'><annotation>x</annotation></math> b"

    assert extract_html_text(markup).text == "a E = mc^2 b"


def test_formula_of_its_own_line_is_on_a_line():
    markup = "<p>a<math display=block><mi>x</mi></math>b"

    assert extract_html_text(markup).text == "a\nx\nb"
