"""Strings of a sheet: rich text with superscripts and symbol fonts (ECMA-376 Part 1, 18.4)."""

from typing import cast

from backend.services.rag.extraction.office.ooxml import Element
from backend.services.rag.extraction.office.run_text import Position, RunText
from backend.services.rag.extraction.office.symbol_fonts import decode_symbols
from backend.services.rag.extraction.office.xstrings import decode_xstring


def read_rich_text(item: Element) -> str:
    """Return the text of all runs, without phonetic guides (furigana).

    *item* is an `si`, `is` or `text` element. Namespaces are ignored.
    """
    if len(item) == 1 and item[0].tag.endswith("t"):  # a string without runs
        return decode_xstring(item[0].text or "")
    runs = RunText()
    for node in item:
        name = node.tag.rpartition("}")[2]
        if name == "t":
            runs.add(decode_xstring(node.text or ""))
        elif name == "r":
            _read_run(node, runs)
    return runs.to_text()


def _read_run(run: Element, runs: RunText) -> None:
    position, font = "", ""
    for node in run:
        name = node.tag.rpartition("}")[2]
        if name == "rPr":
            for setting in node:
                setting_name = setting.tag.rpartition("}")[2]
                if setting_name == "vertAlign":
                    position = setting.get("val", "")
                elif setting_name == "rFont":
                    font = setting.get("val", "")
        elif name == "t":
            text = decode_symbols(decode_xstring(node.text or ""), font)
            is_script = position in ("superscript", "subscript")
            runs.add(text, cast(Position, position) if is_script else "baseline")
