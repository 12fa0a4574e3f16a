"""Read charts (DrawingML, ECMA-376 Part 1, 21.2, and the newer kinds of [MS-ODRAWXML])."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from backend.services.rag.extraction.content import TextBuilder
from backend.services.rag.extraction.office.drawing.text import read_paragraphs
from backend.services.rag.extraction.office.number_formats.formats import get_format
from backend.services.rag.extraction.office.ooxml import Element
from backend.services.rag.extraction.office.xstrings import decode_xstring

C: Final = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
CX: Final = "{http://schemas.microsoft.com/office/drawing/2014/chartex}"
# Maximum in spreadsheet programs. Bounds the time to build the table.
_MAX_SERIES: Final = 255
_MAX_LEVELS: Final = 10

# Returns True if the cells that a formula refers to are in the text already.
IsShown = Callable[[str], bool]
Points = dict[int, str]


@dataclass(slots=True)
class _Series:
    name: str
    categories: Points
    values: Points
    # References to the cells of the values, "" if the name or the categories were typed in.
    formula: str = ""


@dataclass(slots=True)
class _Chart:
    # Title of the chart, then those of its axes.
    titles: list[str] = field(default_factory=list)
    series: list[_Series] = field(default_factory=list)
    # Labels of single points, if they were typed in.
    labels: list[str] = field(default_factory=list)


def add_chart(root: Element, text: TextBuilder, is_shown: IsShown = lambda _: False) -> None:
    """Append titles, and a table with one line per category and one column per series.

    Args:
        root: root element of the chart's part.
        is_shown: returns True for a reference to cells that are already in the text. Their series
            are omitted.
    """
    chart = _read_extended_chart(root) if root.tag == f"{CX}chartSpace" else _read_chart(root)
    text.add_paragraph("\n".join(chart.titles))
    series = [each for each in chart.series if not (each.formula and is_shown(each.formula))]
    for group in _group_by_categories(series[:_MAX_SERIES]):
        text.add_table(_iterate_rows(group))
    text.add_paragraph("\n".join(chart.labels))


def _group_by_categories(series: list[_Series]) -> Iterator[list[_Series]]:
    """Yield groups of consecutive series that have the same categories."""
    group: list[_Series] = []
    for each in series:
        if group and each.categories and each.categories != group[0].categories:
            yield group
            group = []
        group.append(each)
    if group:
        yield group


def _iterate_rows(series: list[_Series]) -> Iterator[list[str]]:
    categories = series[0].categories
    if any(each.name for each in series):
        yield ["", *(each.name for each in series)]
    for index in sorted(set(categories).union(*(each.values for each in series))):
        yield [categories.get(index, ""), *(each.values.get(index, "") for each in series)]


def _read_chart(root: Element) -> _Chart:
    from_1904 = _is_on(root.find(f"{C}date1904"))
    chart = _Chart()
    plot_area = root.find(f"{C}chart/{C}plotArea")
    _add_title(root.find(f"{C}chart/{C}title"), chart)
    for node in plot_area if plot_area is not None else ():
        if node.tag.endswith("Ax"):
            _add_title(node.find(f"{C}title"), chart)
        for series in node.findall(f"{C}ser"):
            chart.series += _read_series(series, from_1904)
            for label in series.iterfind(f"{C}dLbls/{C}dLbl/{C}tx"):
                chart.labels += read_paragraphs(label)
    return chart


def _add_title(title: Element | None, chart: _Chart) -> None:
    if title is None:
        return
    lines = read_paragraphs(title) or [*_read_points(title.find(f"{C}tx"), False).values()]
    if lines:
        chart.titles.append(" ".join(lines))


def _read_series(node: Element, from_1904: bool) -> list[_Series]:
    """Return the series of *node*, and for a bubble chart a second one with the bubble sizes."""
    name = " ".join(_read_points(node.find(f"{C}tx"), from_1904).values())
    categories = node.find(f"{C}cat")
    if categories is None:
        categories = node.find(f"{C}xVal")
    labels = _read_points(categories, from_1904)
    is_typed = _is_typed(node.find(f"{C}tx")) or _is_typed(categories)
    found = []
    for tag in ("val", "yVal", "bubbleSize"):
        data = node.find(f"{C}{tag}")
        if data is not None:
            formula = "" if is_typed else data.findtext(f"{C}numRef/{C}f") or ""
            found.append(_Series(name, labels, _read_points(data, from_1904), formula))
    return found


def _is_typed(data: Element | None) -> bool:
    """Return True if *data* contains texts that were typed into the chart, not into a cell."""
    tags = (f"{C}v", f"{C}strLit", f"{C}numLit")
    return data is not None and any(data.find(tag) is not None for tag in tags)


def _read_points(data: Element | None, from_1904: bool) -> Points:
    """Return the texts of a data source by their indexes."""
    if data is None:
        return {}
    levels = data.findall(f"{C}multiLvlStrRef/{C}multiLvlStrCache/{C}lvl")
    if levels:
        return _join_levels([_read_cache(level, from_1904) for level in levels])
    for tag in ("strRef/strCache", "numRef/numCache", "strLit", "numLit"):
        cache = data.find("/".join(f"{C}{name}" for name in tag.split("/")))
        if cache is not None:
            return _read_cache(cache, from_1904)
    literal = data.findtext(f"{C}v")
    return {0: decode_xstring(literal)} if literal else {}


def _read_cache(cache: Element, from_1904: bool) -> Points:
    code = cache.findtext(f"{C}formatCode") or ""
    is_numeric = cache.tag in (f"{C}numCache", f"{C}numLit")
    points = {}
    for point in cache.iterfind(f"{C}pt"):
        index, value = point.get("idx", ""), point.findtext(f"{C}v") or ""
        if index.isdecimal():
            number_format = get_format(point.get("formatCode", code))
            points[int(index[:10])] = (
                number_format.format_value(value, from_1904)
                if is_numeric
                else decode_xstring(value)
            )
    return points


def _join_levels(levels: list[Points]) -> Points:
    """Join the levels of categories, innermost first. An outer label applies up to the next one."""
    joined: Points = {}
    levels = levels[:_MAX_LEVELS]
    outer_labels = [""] * len(levels)
    for index in sorted(set().union(*levels)):
        for number, level in enumerate(levels):
            outer_labels[number] = level.get(index, outer_labels[number])
        joined[index] = " ".join(label for label in reversed(outer_labels) if label)
    return joined


def _is_on(node: Element | None) -> bool:
    return node is not None and node.get("val", "1") in ("1", "true")


def _read_extended_chart(root: Element) -> _Chart:
    """Read a waterfall, treemap, funnel, box or map chart."""
    chart = _Chart()
    data = {node.get("id", ""): node for node in root.iterfind(f"{CX}chartData/{CX}data")}
    for title in root.iter(f"{CX}title"):
        lines = read_paragraphs(title) or [title.findtext(f".//{CX}v") or ""]
        chart.titles += [" ".join(lines)] if lines[0] else []
    for series in root.iter(f"{CX}series"):
        identifier = series.find(f"{CX}dataId")
        source = data.get(identifier.get("val", "") if identifier is not None else "")
        if source is None:
            continue
        name = series.findtext(f"{CX}tx/{CX}txData/{CX}v") or ""
        categories = [_read_level(level) for level in source.iterfind(f"{CX}strDim/{CX}lvl")]
        for dimension in source.iterfind(f"{CX}numDim"):
            level = dimension.find(f"{CX}lvl")
            if level is not None:
                formula = dimension.findtext(f"{CX}f") or ""
                labels = _join_levels(categories)
                chart.series.append(_Series(name, labels, _read_level(level), formula))
    return chart


def _read_level(level: Element) -> Points:
    code = level.get("formatCode")
    points = {}
    for point in level.iterfind(f"{CX}pt"):
        index, value = point.get("idx", ""), point.text or ""
        if index.isdecimal():
            points[int(index[:10])] = (
                decode_xstring(value) if code is None else get_format(code).format_value(value)
            )
    return points
