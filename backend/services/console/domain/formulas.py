"""Convert formulas from TeX to trees of allowed MathML elements."""

import html
import re
from collections.abc import Iterator
from functools import lru_cache
from xml.etree.ElementTree import Element

Tree = list[object]
"""[element name, attributes, *children]; a child is a tree or a text."""

_ELEMENTS = frozenset(
    {
        *("math", "mrow", "mi", "mn", "mo", "ms", "mtext", "mspace", "mfrac", "msqrt", "mroot"),
        *("msub", "msup", "msubsup", "munder", "mover", "munderover", "mtable", "mtr", "mtd"),
        *("mmultiscripts", "mprescripts", "none", "mpadded", "mphantom", "mstyle", "menclose"),
    }
)
_ATTRIBUTES = frozenset(
    {
        *("accent", "accentunder", "columnalign", "columnlines", "columnspacing", "depth"),
        *("display", "displaystyle", "fence", "form", "height", "largeop", "linebreak"),
        *("linethickness", "lspace", "mathcolor", "mathsize", "mathvariant", "maxsize", "minsize"),
        *("movablelimits", "notation", "rowlines", "rowspacing", "rspace", "scriptlevel"),
        *("separator", "stretchy", "symmetric", "voffset", "width"),
    }
)
_VALUE = re.compile(r"[A-Za-z0-9#.%+ -]{1,60}")
_LENGTH = re.compile(r"-?[0-9.]+(em|ex|px|pt|mu|cm|mm|in|pc|%)?")
_LENGTH_ATTRIBUTES = frozenset({"width", "height", "depth", "voffset", "lspace", "rspace"})
# Longer spaces, and negative ones, could place text over other parts of the page.
_MAX_LENGTH_EM = 10.0
_UNITS_PER_EM = {"ex": 2.0, "px": 16.0, "pt": 12.0, "mu": 18.0, "cm": 0.42, "mm": 4.2, "in": 0.167}
_MAX_DEPTH = 60
_MAX_NODES = 4000
_CACHED_FORMULAS = 256


class InvalidFormula(Exception):
    """The TeX source has an error, or its tree is too large."""


@lru_cache(maxsize=_CACHED_FORMULAS)
def convert_formula(tex: str, *, display: bool) -> Tree:
    """Return the MathML tree of *tex*. Elements and attributes that are not allowed are left out.

    Args:
        tex: the formula without delimiters.
        display: True for a formula on a line of its own.

    Raises:
        InvalidFormula: *tex* is not a formula, or too complex.
    """
    # Imported at the first use: it takes 3 MB, and most answers contain no formula.
    from latex2mathml.converter import convert_to_element

    try:
        element = convert_to_element(tex, display="block" if display else "inline")
    except Exception as error:  # the library also raises IndexError, KeyError… for bad TeX
        raise InvalidFormula(type(error).__name__) from error
    if sum(1 for _ in element.iter()) > _MAX_NODES:
        raise InvalidFormula("too many elements")
    return _convert_element(element, 0)


def _convert_element(element: Element, depth: int) -> Tree:
    if depth > _MAX_DEPTH:
        raise InvalidFormula("nested too deeply")
    name = element.tag.rpartition("}")[2]
    attributes = dict(_list_attributes(element))
    # A disallowed element is replaced by a row with its content.
    tree: Tree = [name if name in _ELEMENTS else "mrow", attributes]
    if element.text:
        # The library writes operators as character references.
        tree.append(html.unescape(element.text))
    for child in element:
        tree.append(_convert_element(child, depth + 1))
        if child.tail and child.tail.strip():
            tree.append(child.tail)
    return tree


def _list_attributes(element: Element) -> Iterator[tuple[str, str]]:
    for name, value in element.attrib.items():
        is_allowed = name in _ATTRIBUTES and _VALUE.fullmatch(value)
        if is_allowed and (name not in _LENGTH_ATTRIBUTES or _is_small_length(value)):
            yield name, value


def _is_small_length(value: str) -> bool:
    match = _LENGTH.fullmatch(value)
    if match is None:
        return False
    try:
        number = float(value.removesuffix(match[1] or ""))
    except ValueError:
        return False
    if match[1] == "%":
        return 0 <= number <= 100
    return -1 <= number / _UNITS_PER_EM.get(match[1] or "em", 1.0) <= _MAX_LENGTH_EM
