"""Styles and list numbering of a DOCX file: which paragraphs are headings or list items."""

from dataclasses import dataclass, field

from backend.services.rag.extraction.office.ooxml import Element

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_MAX_STYLE_DEPTH = 9
# List id and zero-based depth.
ListLevel = tuple[str, int]
_ROMAN = ((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"),
          (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))  # fmt: skip


@dataclass(slots=True)
class _Style:
    name: str
    based_on: str
    list_level: ListLevel | None
    has_outline_level: bool


class Styles:
    """The styles of a document. Identified by name: style ids are localized by Word."""

    def __init__(self, root: Element | None) -> None:
        self._styles = {
            style.get(f"{W}styleId", ""): _Style(
                _value(style.find(f"{W}name")).lower(),
                _value(style.find(f"{W}basedOn")),
                parse_list_level(style),
                style.find(f"{W}pPr/{W}outlineLvl") is not None,
            )
            for style in (root.iter(f"{W}style") if root is not None else ())
        }

    def is_title(self, paragraph: Element) -> bool:
        return any(style.name == "title" for style in self._get_styles(paragraph))

    def is_heading(self, paragraph: Element) -> bool:
        if _value(paragraph.find(f"{W}pPr/{W}outlineLvl")) not in ("", "9"):
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

    def _get_styles(self, paragraph: Element) -> list[_Style]:
        """Return the style of *paragraph* and those it is based on."""
        styles: list[_Style] = []
        style_id = _value(paragraph.find(f"{W}pPr/{W}pStyle"))
        while style_id and len(styles) < _MAX_STYLE_DEPTH:
            style = self._styles.get(style_id)
            # Without a styles part, use the style id as its name.
            styles.append(style or _Style(style_id.lower(), "", None, False))
            style_id = styles[-1].based_on
        return styles


@dataclass(slots=True)
class _Level:
    number_format: str
    text: str
    start: int


@dataclass(slots=True)
class _List:
    levels: dict[int, _Level]
    counts: dict[int, int] = field(default_factory=dict)


class Numbering:
    """Counts list items in document order, as Word does to display them."""

    def __init__(self, root: Element | None) -> None:
        self._lists: dict[str, _List] = {}
        if root is None:
            return
        definitions = {
            definition.get(f"{W}abstractNumId", ""): _List(_parse_levels(definition))
            for definition in root.iter(f"{W}abstractNum")
        }
        for number in root.iter(f"{W}num"):
            definition = definitions.get(_value(number.find(f"{W}abstractNumId")))
            if definition is None:
                continue
            restarts = number.findall(f"{W}lvlOverride/{W}startOverride")
            # Lists of one definition share its counters unless a list restarts the numbering.
            self._lists[number.get(f"{W}numId", "")] = (
                _List(definition.levels) if restarts else definition
            )

    def next_marker(self, list_level: ListLevel) -> str:
        """Count the next item and return its marker: a bullet or a number, with a space."""
        list_id, depth = list_level
        items = self._lists.get(list_id)
        if items is None or depth not in items.levels:
            return ""
        level = items.levels[depth]
        items.counts[depth] = items.counts.get(depth, level.start - 1) + 1
        for deeper in [other for other in items.counts if other > depth]:
            del items.counts[deeper]
        if level.number_format in ("bullet", "none"):
            return "• " if level.number_format == "bullet" else ""
        text = level.text
        for parent_depth in range(depth + 1):
            parent = items.levels.get(parent_depth, level)
            count = items.counts.get(parent_depth, parent.start)
            number = _format_number(count, parent.number_format)
            text = text.replace(f"%{parent_depth + 1}", number)
        return f"{text} " if text else ""


def parse_list_level(element: Element) -> ListLevel | None:
    """Return the list level in the properties of a paragraph or style, or None."""
    properties = element.find(f"{W}pPr/{W}numPr")
    list_id = _value(properties.find(f"{W}numId")) if properties is not None else ""
    if properties is None or list_id in ("", "0"):
        return None
    return list_id, _int(_value(properties.find(f"{W}ilvl")))


def _parse_levels(definition: Element) -> dict[int, _Level]:
    return {
        _int(level.get(f"{W}ilvl", "0")): _Level(
            _value(level.find(f"{W}numFmt")) or "decimal",
            _value(level.find(f"{W}lvlText")),
            _int(_value(level.find(f"{W}start")) or "1"),
        )
        for level in definition.findall(f"{W}lvl")
    }


def _format_number(count: int, number_format: str) -> str:
    """Format *count* by an ST_NumberFormat value (ECMA-376 17.18.59)."""
    if number_format in ("lowerLetter", "upperLetter") and count > 0:
        letters = chr(ord("a") + (count - 1) % 26) * min((count - 1) // 26 + 1, 10)
        return letters.upper() if number_format == "upperLetter" else letters
    if number_format in ("lowerRoman", "upperRoman") and 0 < count < 4000:
        text = ""
        for value, numeral in _ROMAN:
            text += numeral * (count // value)
            count %= value
        return text.upper() if number_format == "upperRoman" else text
    return f"{count:02}" if number_format == "decimalZero" else str(count)


def _value(node: Element | None) -> str:
    return node.get(f"{W}val", "") if node is not None else ""


def _int(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 9 else 0
