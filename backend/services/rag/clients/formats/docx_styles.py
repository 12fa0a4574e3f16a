"""What a DOCX says apart from its text: which styles are headings, how lists are counted."""

from dataclasses import dataclass, field

from backend.services.rag.clients.formats.ooxml import Element

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_MOST_LEVELS = 9
_ROMAN = ((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"),
          (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))  # fmt: skip


@dataclass(slots=True)
class _Style:
    name: str
    based_on: str
    number: tuple[str, int] | None
    outline: bool


class Styles:
    """Names are looked at and not ids, which are translated with the program."""

    def __init__(self, root: Element | None) -> None:
        self._styles = {
            style.get(f"{W}styleId", ""): _Style(
                _value(style.find(f"{W}name")).lower(),
                _value(style.find(f"{W}basedOn")),
                list_level(style),
                style.find(f"{W}pPr/{W}outlineLvl") is not None,
            )
            for style in (root.iter(f"{W}style") if root is not None else ())
        }

    def is_title(self, paragraph: Element) -> bool:
        return any(style.name == "title" for style in self._of(paragraph))

    def is_heading(self, paragraph: Element) -> bool:
        if _value(paragraph.find(f"{W}pPr/{W}outlineLvl")) not in ("", "9"):
            return True
        return any(
            style.name.startswith("heading") or style.outline for style in self._of(paragraph)
        )

    def list_level(self, paragraph: Element) -> tuple[str, int] | None:
        """The list that the paragraph is an item of, and how deep in it."""
        own = list_level(paragraph)
        if own is not None:
            return own
        return next((style.number for style in self._of(paragraph) if style.number), None)

    def _of(self, paragraph: Element) -> list[_Style]:
        style_id, found = _value(paragraph.find(f"{W}pPr/{W}pStyle")), list[_Style]()
        while style_id and len(found) < _MOST_LEVELS:
            style = self._styles.get(style_id)
            # A file without a table of styles still says what each is called.
            found.append(style or _Style(style_id.lower(), "", None, False))
            style_id = found[-1].based_on
        return found


@dataclass(slots=True)
class _Level:
    form: str
    text: str
    start: int


@dataclass(slots=True)
class _List:
    levels: dict[int, _Level]
    counts: dict[int, int] = field(default_factory=dict)


class Numbering:
    """Counts list items as they come, as the program does when it shows them."""

    def __init__(self, root: Element | None) -> None:
        self._lists: dict[str, _List] = {}
        if root is None:
            return
        shapes = {
            shape.get(f"{W}abstractNumId", ""): _List(_levels(shape))
            for shape in root.iter(f"{W}abstractNum")
        }
        for number in root.iter(f"{W}num"):
            shape = shapes.get(_value(number.find(f"{W}abstractNumId")))
            if shape is None:
                continue
            starts = number.findall(f"{W}lvlOverride/{W}startOverride")
            # A list that starts anew counts for itself; others go on where theirs stopped.
            self._lists[number.get(f"{W}numId", "")] = _List(shape.levels) if starts else shape

    def mark(self, number: tuple[str, int]) -> str:
        """What stands before the next item: a bullet, or its number."""
        counted, depth = self._lists.get(number[0]), number[1]
        if counted is None or depth not in counted.levels:
            return ""
        level = counted.levels[depth]
        counted.counts[depth] = counted.counts.get(depth, level.start - 1) + 1
        for deeper in [each for each in counted.counts if each > depth]:
            del counted.counts[deeper]
        if level.form in ("bullet", "none"):
            return "• " if level.form == "bullet" else ""
        text = level.text
        for each in range(depth + 1):
            shape = counted.levels.get(each, level)
            count = counted.counts.get(each, shape.start)
            text = text.replace(f"%{each + 1}", _counted(count, shape.form))
        return f"{text} " if text else ""


def list_level(owner: Element) -> tuple[str, int] | None:
    found = owner.find(f"{W}pPr/{W}numPr")
    number = _value(found.find(f"{W}numId")) if found is not None else ""
    if found is None or number in ("", "0"):
        return None
    return number, _int(_value(found.find(f"{W}ilvl")))


def _levels(shape: Element) -> dict[int, _Level]:
    return {
        _int(level.get(f"{W}ilvl", "0")): _Level(
            _value(level.find(f"{W}numFmt")) or "decimal",
            _value(level.find(f"{W}lvlText")),
            _int(_value(level.find(f"{W}start")) or "1"),
        )
        for level in shape.findall(f"{W}lvl")
    }


def _counted(count: int, form: str) -> str:
    if form in ("lowerLetter", "upperLetter") and count > 0:
        letters = chr(ord("a") + (count - 1) % 26) * min((count - 1) // 26 + 1, 10)
        return letters.upper() if form == "upperLetter" else letters
    if form in ("lowerRoman", "upperRoman") and 0 < count < 4000:
        text = ""
        for value, sign in _ROMAN:
            text += sign * (count // value)
            count %= value
        return text.upper() if form == "upperRoman" else text
    return f"{count:02}" if form == "decimalZero" else str(count)


def _value(node: Element | None) -> str:
    return node.get(f"{W}val", "") if node is not None else ""


def _int(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 9 else 0
