"""Read the text of DrawingML shapes (ECMA-376 Part 1, 21.1.2)."""

from typing import Final

from backend.services.rag.extraction.office.drawing.equations import (
    EQUATION_TAGS,
    linearize_equation,
)
from backend.services.rag.extraction.office.ooxml import FALLBACK, Element
from backend.services.rag.extraction.office.run_text import Position, RunText
from backend.services.rag.extraction.office.symbol_fonts import decode_symbols, is_symbol_font

A: Final = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_RUNS: Final = (f"{A}r", f"{A}fld")
_FONTS: Final = (f"{A}sym", f"{A}latin")


def read_paragraphs(shape: Element) -> list[str]:
    """Return the paragraphs in *shape* that are not empty."""
    lines = []
    for paragraph in shape.iter(f"{A}p"):
        runs = RunText()
        _read_runs(paragraph, runs)
        lines.append(runs.to_text().strip())
    return [line for line in lines if line]


def _read_runs(node: Element, runs: RunText) -> None:
    for child in node:
        tag = child.tag
        if tag in _RUNS:
            _read_run(child, runs)
        elif tag == f"{A}br":
            runs.add("\n")
        elif tag in EQUATION_TAGS:
            runs.add(linearize_equation(child))
        elif tag not in (FALLBACK, f"{A}pPr"):
            _read_runs(child, runs)


def _read_run(run: Element, runs: RunText) -> None:
    position, font = _read_properties(run.find(f"{A}rPr"))
    for child in run:
        if child.tag == f"{A}t" and child.text:
            text = decode_symbols(child.text, font) if font else child.text
            runs.add(text, position)


def _read_properties(properties: Element | None) -> tuple[Position, str]:
    """Return the vertical position and the symbol font of a run."""
    if properties is None:
        return "baseline", ""
    # In thousandths of a percent of the font size, or with a percent sign (22.9.2.9).
    offset = properties.get("baseline", "0").rstrip("%")
    position: Position = "baseline"
    if offset.strip("+-0."):
        position = "subscript" if offset.startswith("-") else "superscript"
    fonts = (child.get("typeface", "") for child in properties if child.tag in _FONTS)
    return position, next((font for font in fonts if is_symbol_font(font)), "")
