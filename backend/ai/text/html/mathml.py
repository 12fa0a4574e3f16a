"""Convert MathML formulas to one line of text (MathML Core): x^2, (a+b)/2, √(x)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

# Elements without visible text: annotations, and elements that only take up space.
_HIDDEN: Final = frozenset({"annotation", "annotation-xml", "mphantom", "none", "mprescripts"})
_TOKENS: Final = frozenset({"mi", "mn", "mo", "mtext", "ms"})
# Operators that are set with spaces between two operands.
_SPACED_OPERATORS: Final = frozenset("=≠≈≡≤≥<>≪≫∼≃≅∝∈∉⊂⊆∪∩+−-±∓×·÷→←↔⇒⇐⇔∧∨≔")  # noqa: RUF001
# Large operators, which precede their operand.
_LARGE_OPERATORS: Final = ("∑", "∏", "∐", "∫", "∬", "∭", "∮", "\u22c3", "\u22c2", "lim")
# Function application, invisible times, invisible separator, invisible plus, zero-width space.
_INVISIBLE: Final = str.maketrans("", "", "\u2061\u2062\u2063\u2064\u200b")


@dataclass(slots=True)
class _Element:
    tag: str
    attributes: Mapping[str, str | None]
    # The texts of the children. In a row, operators include their spaces.
    children: list[str] = field(default_factory=list)


class MathBuilder:
    """Builds the text of one `math` element from its events."""

    def __init__(self, attributes: Mapping[str, str | None]) -> None:
        self._alternative = " ".join((attributes.get("alttext") or "").split())
        self._stack = [_Element("math", {})]
        self._hidden_depth = 0

    def start(self, tag: str, attributes: Mapping[str, str | None]) -> None:
        """Process the start tag of an element within the formula."""
        if self._hidden_depth or tag in _HIDDEN:
            self._hidden_depth += 1
        else:
            self._stack.append(_Element(tag, attributes))

    def end(self) -> None:
        """Process the end tag of the current element."""
        if self._hidden_depth:
            self._hidden_depth -= 1
            return
        element = self._stack.pop()
        text = _format_element(element)
        parent = self._stack[-1]
        # Layout elements identify their operands and scripts by position, so keep empty ones.
        if text or parent.tag in _LAYOUTS:
            parent.children.append(text)

    def add_text(self, text: str) -> None:
        """Process text. White space between elements is not part of the formula."""
        if not self._hidden_depth and (self._stack[-1].tag in _TOKENS or not text.isspace()):
            self._stack[-1].children.append(text.translate(_INVISIBLE))

    def build(self) -> str:
        """Return the text of the formula, or its alternative text if it has none."""
        return " ".join(_join_row(self._stack[0].children).split()) or self._alternative


def _format_element(element: _Element) -> str:
    if element.tag in _TOKENS:
        return _format_token(element)
    if element.tag == "mspace":
        return " "
    layout = _LAYOUTS.get(element.tag)
    return layout(element) if layout else _join_row(element.children)


def _format_token(element: _Element) -> str:
    text = " ".join("".join(element.children).split())
    if element.tag == "mtext":
        # Spaces at its ends separate words from the formula.
        return f" {text} " if text else ""
    return f'"{text}"' if element.tag == "ms" else text


def _join_row(children: list[str]) -> str:
    """Join *children*, with spaces around the operators between two operands."""
    parts: list[str] = []
    for index, child in enumerate(children):
        is_binary = (
            child in _SPACED_OPERATORS
            and 0 < index < len(children) - 1
            and children[index - 1] not in _SPACED_OPERATORS
            and children[index - 1] not in ("(", "[", "{", ",")
        )
        if is_binary:
            parts.append(f" {child} ")
        else:
            parts.append(f"{child} " if child.startswith(_LARGE_OPERATORS) else child)
    return "".join(parts)


def _group(text: str) -> str:
    """Return *text* in parentheses unless it is one number, word or letter."""
    text = text.strip()
    if text.lstrip("+-−").replace(".", "").replace(",", "").isalnum():  # noqa: RUF001
        return text
    is_enclosed = text.startswith("(") and text.find(")") == len(text) - 1
    return text if is_enclosed or len(text) <= 1 else f"({text})"


def _group_operand(text: str) -> str:
    """Return *text* in parentheses unless it is one number or letter: ab/c is not a(b/c)."""
    text = text.strip()
    return text if text.isdigit() or len(text) <= 1 else _group(text)


def _child(element: _Element, index: int) -> str:
    return element.children[index].strip() if index < len(element.children) else ""


def _format_fraction(element: _Element) -> str:
    return f"{_group_operand(_child(element, 0))}/{_group_operand(_child(element, 1))}"


def _format_scripts(element: _Element) -> str:
    base, scripts = _child(element, 0), element.children[1:]
    signs = {"msup": "^", "mover": "^", "msub": "_", "munder": "_"}.get(element.tag, "_^")
    text = _group(base) if len(base) > 1 and " " in base else base
    for sign, script in zip(signs, scripts, strict=False):
        # Accents and primes are part of the letter.
        is_mark = len(script) == 1 and not script.isalnum() and script not in "*+-−∗"  # noqa: RUF001
        text += script if is_mark and base else f"{sign}{_group(script)}" if script else ""
    return text


def _format_root(element: _Element) -> str:
    if element.tag == "mroot":
        return f"{_child(element, 1).translate(_INDEX_DIGITS)}√({_child(element, 0)})"
    return f"√({_join_row(element.children).strip()})"


def _format_fenced(element: _Element) -> str:
    separators = (element.attributes.get("separators") or ",").split() or [""]
    parts = [element.attributes.get("open") or "("]
    for index, child in enumerate(element.children):
        if index:
            parts.append(separators[min(index, len(separators)) - 1])
        parts.append(child)
    return "".join([*parts, element.attributes.get("close") or ")"])


def _format_table(element: _Element) -> str:
    return "; ".join(row for row in element.children if row)


def _format_table_row(element: _Element) -> str:
    return ", ".join(element.children)


_INDEX_DIGITS: Final = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_LAYOUTS: Final[dict[str, Callable[[_Element], str]]] = {
    "mfrac": _format_fraction,
    "msup": _format_scripts,
    "msub": _format_scripts,
    "msubsup": _format_scripts,
    "mover": _format_scripts,
    "munder": _format_scripts,
    "munderover": _format_scripts,
    "msqrt": _format_root,
    "mroot": _format_root,
    "mfenced": _format_fenced,
    "mtable": _format_table,
    "mtr": _format_table_row,
}
