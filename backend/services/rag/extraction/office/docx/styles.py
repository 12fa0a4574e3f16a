"""Styles of a DOCX file: which paragraphs are headings or list items, which runs are raised."""

from dataclasses import dataclass

from backend.services.rag.extraction.office.ooxml import Element
from backend.services.rag.extraction.office.symbol_fonts import is_symbol_font

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_PARAGRAPH_PROPERTIES = f"{W}pPr"
_RUN_PROPERTIES = f"{W}rPr"
_MAX_STYLE_DEPTH = 9
# List id and zero-based depth.
ListLevel = tuple[str, int]


@dataclass(slots=True)
class _Style:
    name: str
    based_on: str
    list_level: ListLevel | None
    has_outline_level: bool
    # Value of `w:vertAlign`: `superscript`, `subscript`, `baseline` or "".
    position: str = ""
    # Font of the characters, if it is a symbol font.
    symbol_font: str = ""


# Text that is raised or lowered by fewer half-points is not a superscript or subscript.
_MIN_RAISED_HALF_POINTS = 4


def get_raised_position(half_points: str) -> str:
    """Return the value of `w:vertAlign` that corresponds to a `w:position` (17.3.2.24)."""
    try:
        raised = int(half_points)
    except ValueError:
        return ""
    if abs(raised) < _MIN_RAISED_HALF_POINTS:
        return ""
    return "superscript" if raised > 0 else "subscript"


class Styles:
    """The styles of a document. They are identified by name, because Word localizes style ids."""

    def __init__(self, root: Element | None) -> None:
        self._styles = {
            style.get(f"{W}styleId", ""): _Style(
                get_value(style.find(f"{W}name")).lower(),
                get_value(style.find(f"{W}basedOn")),
                parse_list_level(style),
                find_descendant(style, _PARAGRAPH_PROPERTIES, f"{W}outlineLvl") is not None,
                get_value(find_descendant(style, _RUN_PROPERTIES, f"{W}vertAlign")),
                get_symbol_font(find_descendant(style, _RUN_PROPERTIES, f"{W}rFonts")),
            )
            for style in (root.iter(f"{W}style") if root is not None else ())
        }

    def is_title(self, paragraph: Element) -> bool:
        return any(style.name == "title" for style in self._get_styles(paragraph))

    def is_heading(self, paragraph: Element) -> bool:
        if get_value(find_descendant(paragraph, _PARAGRAPH_PROPERTIES, f"{W}outlineLvl")) not in (
            "",
            "9",
        ):
            return True
        return any(
            style.name.startswith("heading") or style.has_outline_level
            for style in self._get_styles(paragraph)
        )

    def get_list_level(self, paragraph: Element) -> ListLevel | None:
        """Return the list that *paragraph* is an item of and its depth, or None."""
        own = parse_list_level(paragraph)
        if own is not None:
            return own
        styles = self._get_styles(paragraph)
        return next((style.list_level for style in styles if style.list_level), None)

    def get_run_style(self, style_id: str) -> tuple[str, str]:
        """Return vertical position and symbol font of a character style; "" if it has none."""
        chain = self._get_chain(style_id)
        position = next((style.position for style in chain if style.position), "")
        return position, next((style.symbol_font for style in chain if style.symbol_font), "")

    def _get_styles(self, paragraph: Element) -> list[_Style]:
        """Return the style of *paragraph* and those it is based on."""
        return self._get_chain(
            get_value(find_descendant(paragraph, _PARAGRAPH_PROPERTIES, f"{W}pStyle"))
        )

    def _get_chain(self, style_id: str) -> list[_Style]:
        styles: list[_Style] = []
        while style_id and len(styles) < _MAX_STYLE_DEPTH:
            style = self._styles.get(style_id)
            # Without a styles part, use the style id as its name.
            styles.append(style or _Style(style_id.lower(), "", None, False))
            style_id = styles[-1].based_on
        return styles


def parse_list_level(element: Element) -> ListLevel | None:
    """Return the list level in the properties of a paragraph or style, or None."""
    properties = find_descendant(element, _PARAGRAPH_PROPERTIES, f"{W}numPr")
    list_id = get_value(properties.find(f"{W}numId")) if properties is not None else ""
    if properties is None or list_id in ("", "0"):
        return None
    return list_id, parse_int(get_value(properties.find(f"{W}ilvl")))


def get_symbol_font(fonts: Element | None) -> str:
    """Return the symbol font among the fonts of a `w:rFonts` element, or ""."""
    if fonts is None:
        return ""
    names = (fonts.get(f"{W}{kind}", "") for kind in ("ascii", "hAnsi"))
    return next((name for name in names if is_symbol_font(name)), "")


def find_descendant(node: Element | None, *tags: str) -> Element | None:
    """Return the descendant on the path *tags*, faster than `find` with a path expression."""
    for tag in tags:
        if node is None:
            return None
        node = node.find(tag)
    return node


def get_value(node: Element | None) -> str:
    """Return the attribute `w:val` of *node*, or "" without it."""
    return node.get(f"{W}val", "") if node is not None else ""


def parse_int(text: str) -> int:
    """Return the number *text*, or 0 if *text* is not a number or is too long."""
    return int(text) if text.isdecimal() and len(text) < 9 else 0
