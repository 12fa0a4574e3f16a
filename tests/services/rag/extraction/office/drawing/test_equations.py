"""Equations (OMML) are written on one line of plain text."""

# ruff: noqa: RUF001
from xml.etree import ElementTree

import pytest

from backend.services.rag.extraction.office.drawing.equations import M, linearize_equation

NAMESPACES = (
    f'xmlns:m="{M[1:-1]}" xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
)


def run(text):
    return f"<m:r><m:t>{text}</m:t></m:r>"


def element(name, *arguments, properties=""):
    """Return an element; an argument is (name, text or XML)."""
    content = "".join(
        f"<m:{tag}>{text if text.startswith('<') else run(text)}</m:{tag}>"
        if text
        else f"<m:{tag}/>"
        for tag, text in arguments
    )
    settings = f"<m:{name}Pr>{properties}</m:{name}Pr>" if properties else ""
    return f"<m:{name}>{settings}{content}</m:{name}>"


def fraction(numerator, denominator, kind=""):
    properties = f'<m:type m:val="{kind}"/>' if kind else ""
    return element("f", ("num", numerator), ("den", denominator), properties=properties)


def power(base, exponent):
    return element("sSup", ("e", base), ("sup", exponent))


def delimiters(*contents, begin="(", end=")"):
    settings = f'<m:begChr m:val="{begin}"/><m:endChr m:val="{end}"/>'
    return element("d", *(("e", content) for content in contents), properties=settings)


def matrix(*rows):
    cells = ["".join(f"<m:e>{run(cell)}</m:e>" for cell in row) for row in rows]
    return f"<m:m>{''.join(f'<m:mr>{row}</m:mr>' for row in cells)}</m:m>"


def n_ary(character, below, above, term, properties=""):
    settings = f'<m:chr m:val="{character}"/>' if character else ""
    return element(
        "nary", ("sub", below), ("sup", above), ("e", term), properties=settings + properties
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (fraction("3", "4"), "3/4"),
        (run("E=") + fraction("a+b", "2c"), "E=(a+b)/(2c)"),
        (fraction("m", "kg"), "m/kg"),
        (fraction("1.5", power("x", "2")), "1.5/x²"),
        (fraction(power("10", "3"), "7"), "10³/7"),
        (fraction("x", "y", "skw"), "x/y"),
        (fraction(fraction("1", "2"), "3"), "(1/2)/3"),
        (delimiters(fraction("n", "k", "noBar")), "(n; k)"),
        (power("10", "3"), "10³"),
        (power("10", "−6"), "10⁻⁶"),
        (power("x", "n+1"), "xⁿ⁺¹"),
        (power(delimiters("a+b"), "2"), "(a+b)²"),
        (power("a+b", "2"), "(a+b)²"),
        (power("e", fraction("x", "2")), "e^(x/2)"),
        (power("2", "ω"), "2^ω"),
        (element("sSub", ("e", "x"), ("sub", "1")), "x₁"),
        (element("sSub", ("e", "V"), ("sub", "max")), "V_max"),
        (element("sSubSup", ("e", "x"), ("sub", "i"), ("sup", "2")), "xᵢ²"),
        (element("sPre", ("sub", "6"), ("sup", "14"), ("e", "C")), "₆¹⁴C"),
        (element("rad", ("deg", ""), ("e", "2"), properties='<m:degHide m:val="1"/>'), "√2"),
        (element("rad", ("deg", ""), ("e", "x+1"), properties="<m:degHide/>"), "√(x+1)"),
        (element("rad", ("deg", "3"), ("e", "8")), "∛8"),
        (element("rad", ("deg", "n"), ("e", "a")), "ⁿ√a"),
        (n_ary("∑", "k=1", "n", power("k", "2")), "∑_(k=1)^n k²"),
        (n_ary("", "0", "∞", "f dx"), "∫_0^∞ f dx"),
        (n_ary("∏", "i", "", "p", '<m:supHide m:val="1"/>'), "∏_i p"),
        (delimiters("a", "b"), "(a|b)"),
        (delimiters("x", begin="|", end="|"), "|x|"),
        (delimiters(matrix("ab", "cd"), begin="[", end="]"), "[a, b; c, d]"),
        (
            delimiters(element("eqArr", ("e", "x, &amp;x≥0"), ("e", "−x, &amp;x&lt;0")),
                       begin="{", end=""),
            "{x, x≥0; −x, x<0",
        ),
        (element("func", ("fName", "sin"), ("e", "x")), "sin x"),
        (element("func", ("fName", "ln"), ("e", delimiters("a+b"))), "ln(a+b)"),
        (
            element("func", ("fName", element("limLow", ("e", "lim"), ("lim", "x→0"))), ("e", "f")),
            "lim_(x→0) f",
        ),
        (element("acc", ("e", "x")), "x\u0302"),
        (element("acc", ("e", "v"), properties='<m:chr m:val="⃗"/>'), "v\u20d7"),
        (element("bar", ("e", "x"), properties='<m:pos m:val="top"/>'), "x\u0305"),
        (element("groupChr", ("e", "a+b")), "a+b"),
        (element("borderBox", ("e", "a=b")), "a=b"),
        (element("box", ("e", "≔")), "≔"),
        (element("phant", ("e", "x"), properties='<m:show m:val="0"/>'), ""),
        (run("F(") + run("−40") + run(")"), "F(−40)"),
        ("<w:del>" + run("old") + "</w:del><w:ins>" + run("new") + "</w:ins>", "new"),
        ("<m:r><w:rPr/><m:rPr/><m:t>a</m:t></m:r>" + fraction("", "2"), "a/2"),
    ],
)  # fmt: skip
def test_structure_is_kept_on_one_line(content, expected):
    node = ElementTree.fromstring(f"<m:oMath {NAMESPACES}>{content}</m:oMath>")  # noqa: S314

    assert linearize_equation(node) == expected


def test_equations_of_a_paragraph_are_separated():
    equations = "".join(f"<m:oMath>{run(text)}</m:oMath>" for text in ("a=1", "b=2"))
    node = ElementTree.fromstring(f"<m:oMathPara {NAMESPACES}>{equations}</m:oMathPara>")  # noqa: S314

    assert linearize_equation(node) == "a=1 b=2"
