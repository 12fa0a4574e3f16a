"""Write the equations of Office files (OMML, ECMA-376 Part 1, 22.1) on one line of plain text.

The notation is that of Unicode Technical Note 28 where it reads as plain text: `(a+b)/2`, `x²`,
`√(x+1)`, `∑_(k=1)^n k`, `[1, 0; 0, 1]`.
"""

import re
from collections.abc import Callable
from typing import Final

from backend.services.rag.extraction.office.ooxml import Element
from backend.services.rag.extraction.office.run_text import Position

M: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
EQUATION_TAGS: Final = (f"{M}oMath", f"{M}oMathPara")
_W: Final = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
# Properties and tracked deletions.
_SKIPPED: Final = frozenset(
    {f"{_W}del", f"{_W}moveFrom", f"{_W}rPr", f"{M}ctrlPr", f"{M}rPr", f"{M}argPr"}
)
# Text that needs no parentheses: a number, letters or one symbol, with optional marks or raised
# characters.
_MARKS: Final = r"[\u0300-\u036f\u20d0-\u20ff\u2032-\u2034\u2070-\u209f\xb2\xb3\xb9ⁿⁱ]*"
_ATOM: Final = re.compile(rf"(?:\d[\d.,]*[%°]?|(?:[^\W\d_]{_MARKS})*|.){_MARKS}")
_BRACKETED: Final = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|\{[^{}]*\}")
_INVISIBLE: Final = dict.fromkeys(map(ord, "\u200b\u2060\u2061\u2062\u2063\u2064"), "")
# Combining characters by the spacing characters that equations contain as accents.
# ruff: noqa: RUF001
_COMBINING: Final = {
    "^": "\u0302", "ˆ": "\u0302", "~": "\u0303", "˜": "\u0303", "¯": "\u0305", "‾": "\u0305",
    "˙": "\u0307", "¨": "\u0308", "→": "\u20d7", "´": "\u0301", "`": "\u0300", "ˇ": "\u030c",
    "˘": "\u0306",
}  # fmt: skip
# Characters of Unicode with <super> and <sub> decompositions (UAX #44).
_SUPERSCRIPTS: Final = str.maketrans(
    "0123456789+-−=()abcdefghijklmnoprstuvwxyzABDEGHIJKLMNOPRTUVWβγδθφχ",
    "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻᴬᴮᴰᴱᴳᴴᴵᴶᴷᴸᴹᴺᴼᴾᴿᵀᵁⱽᵂᵝᵞᵟᶿᵠᵡ",
)
_SUBSCRIPTS: Final = str.maketrans(
    "0123456789+-−=()aehijklmnoprstuvxβγρφχ",
    "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓᵦᵧᵨᵩᵪ",
)
_SEPARATORS: Final = frozenset(",.;:– ")
_OVERLINE, _UNDERLINE = "\u0305", "\u0332"


def linearize_equation(node: Element) -> str:
    """Return the text of an `m:oMath` or `m:oMathPara` element."""
    equations = [child for child in node if child.tag == f"{M}oMath"]
    texts = [_linearize(equation) for equation in equations] or [_linearize(node)]
    return " ".join(" ".join(texts).translate(_INVISIBLE).split())


def _linearize(node: Element | None) -> str:
    """Return the text of all children of *node*."""
    parts = []
    for child in node if node is not None else ():
        structure = _STRUCTURES.get(child.tag)
        if structure is not None:
            parts.append(structure(child))
        elif child.tag in (f"{M}t", f"{_W}t"):
            # In arrays of equations, & marks the positions that are aligned.
            parts.append((child.text or "").replace("&", ""))
        elif child.tag in (f"{_W}br", f"{_W}tab"):
            parts.append(" ")
        elif child.tag not in _SKIPPED and not child.tag.endswith("Pr"):
            parts.append(_linearize(child))
    return "".join(parts)


def _argument(node: Element, name: str) -> str:
    return _linearize(node.find(f"{M}{name}")).strip()


def _property(node: Element, name: str, default: str) -> str:
    """Return the value of *name* in the properties of *node*.

    A property without value has the default "1", or "" for characters.
    """
    tag = node.tag.rpartition("}")[2]
    found = node.find(f"{M}{tag}Pr/{M}{name}")
    return default if found is None else found.get(f"{M}val", "1" if default == "0" else "")


def _is_on(node: Element, name: str) -> bool:
    return _property(node, name, "0") not in ("0", "off", "false")


def _group(text: str) -> str:
    """Return *text*, in parentheses if it consists of several terms or factors."""
    is_simple = _ATOM.fullmatch(text) or _BRACKETED.fullmatch(text)
    return text if is_simple else f"({text})"


def _script(text: str, position: Position) -> str:
    if not text:
        return ""
    mark = "^" if position == "superscript" else "_"
    is_word = text.isalpha() and len(text) > 1  # such as the index `max`
    return (not is_word and _convert_script(text, position)) or f"{mark}{_group(text)}"


def _convert_script(text: str, position: Position) -> str:
    """Return *text* in superscript or subscript characters, or "" if one does not exist."""
    table = _SUPERSCRIPTS if position == "superscript" else _SUBSCRIPTS
    if all(ord(char) in table or char in _SEPARATORS for char in text):
        return text.translate(table)
    return ""


def _fraction(node: Element) -> str:
    numerator, denominator = _argument(node, "num"), _argument(node, "den")
    if _property(node, "type", "bar") == "noBar":  # as in a binomial coefficient
        return f"{numerator}; {denominator}"
    return f"{_group(numerator)}/{_group(denominator)}"


def _with_scripts(node: Element) -> str:
    base = _argument(node, "e")
    below = _script(_argument(node, "sub"), "subscript")
    above = _script(_argument(node, "sup"), "superscript")
    if node.tag == f"{M}sPre":
        return f"{below}{above}{base}"
    # Fractions and sums get parentheses, so that the script applies to them as a whole.
    return f"{_group(base)}{below}{above}"


def _radical(node: Element) -> str:
    degree = "" if _is_on(node, "degHide") else _argument(node, "deg")
    radicand = _group(_argument(node, "e"))
    roots = {"": "√", "2": "√", "3": "∛", "4": "∜"}
    return f"{roots[degree]}{radicand}" if degree in roots else f"{_degree(degree)}√{radicand}"


def _degree(degree: str) -> str:
    return _convert_script(degree, "superscript") or f"({degree})"


def _n_ary(node: Element) -> str:
    operator = _property(node, "chr", "∫")
    below = "" if _is_on(node, "subHide") else _argument(node, "sub")
    above = "" if _is_on(node, "supHide") else _argument(node, "sup")
    limits = (f"_{_group(below)}" if below else "") + (f"^{_group(above)}" if above else "")
    return f"{operator}{limits} {_argument(node, 'e')}"


def _delimiters(node: Element) -> str:
    separator = _property(node, "sepChr", "|")
    arguments = [_linearize(child).strip() for child in node if child.tag == f"{M}e"]
    inner = separator.join(arguments)
    return f"{_property(node, 'begChr', '(')}{inner}{_property(node, 'endChr', ')')}"


def _matrix(node: Element) -> str:
    rows = [
        ", ".join(_linearize(cell).strip() for cell in row if cell.tag == f"{M}e")
        for row in node
        if row.tag == f"{M}mr"
    ]
    return "; ".join(rows)


def _equation_array(node: Element) -> str:
    return "; ".join(_linearize(child).strip() for child in node if child.tag == f"{M}e")


def _function(node: Element) -> str:
    name, argument = _argument(node, "fName"), _argument(node, "e")
    return f"{name}{argument}" if argument[:1] in "([{|" else f"{name} {argument}"


def _accent(node: Element) -> str:
    character = _property(node, "chr", "\u0302")
    return _combine(_argument(node, "e"), _COMBINING.get(character, character))


def _bar(node: Element) -> str:
    mark = _OVERLINE if _property(node, "pos", "bot") == "top" else _UNDERLINE
    return _combine(_argument(node, "e"), mark)


def _group_character(node: Element) -> str:
    # The brace above or below the term is omitted. A limit contains its explanation.
    return _argument(node, "e")


def _combine(base: str, mark: str) -> str:
    return "".join(f"{char}{mark}" if char.isalnum() else char for char in base) or mark


def _limit(node: Element) -> str:
    mark = "_" if node.tag == f"{M}limLow" else "^"
    return f"{_argument(node, 'e')}{mark}{_group(_argument(node, 'lim'))}"


def _phantom(node: Element) -> str:
    return _argument(node, "e") if _property(node, "show", "1") not in ("0", "off") else ""


_STRUCTURES: Final[dict[str, Callable[[Element], str]]] = {
    f"{M}{name}": structure
    for name, structure in (
        ("f", _fraction), ("sSup", _with_scripts), ("sSub", _with_scripts),
        ("sSubSup", _with_scripts), ("sPre", _with_scripts), ("rad", _radical), ("nary", _n_ary),
        ("d", _delimiters), ("m", _matrix), ("eqArr", _equation_array), ("func", _function),
        ("acc", _accent), ("bar", _bar), ("groupChr", _group_character), ("limLow", _limit),
        ("limUpp", _limit), ("phant", _phantom),
    )
}  # fmt: skip
