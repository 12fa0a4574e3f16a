"""Numbers and bullets of the list items of a DOCX file (ECMA-376 Part 1, 17.9)."""

from dataclasses import dataclass, field

from backend.services.rag.extraction.office.docx.number_sequences import format_number
from backend.services.rag.extraction.office.docx.styles import ListLevel, W, get_value, parse_int
from backend.services.rag.extraction.office.ooxml import Element


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
            definition = definitions.get(get_value(number.find(f"{W}abstractNumId")))
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
            number = format_number(count, parent.number_format)
            text = text.replace(f"%{parent_depth + 1}", number)
        return f"{text} " if text else ""


def _parse_levels(definition: Element) -> dict[int, _Level]:
    return {
        parse_int(level.get(f"{W}ilvl", "0")): _Level(
            get_value(level.find(f"{W}numFmt")) or "decimal",
            get_value(level.find(f"{W}lvlText")),
            parse_int(get_value(level.find(f"{W}start")) or "1"),
        )
        for level in definition.findall(f"{W}lvl")
    }
