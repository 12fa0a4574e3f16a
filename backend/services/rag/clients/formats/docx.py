"""DOCX: the paragraphs and tables of the main text, in order."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from backend.services.rag.clients.formats.page import Page, TextBuilder, Unreadable

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_MOST_BYTES = 100 * 2**20
_DAMAGED = "This DOCX is damaged beyond reading."


def read(file: Path) -> tuple[str, Page]:
    """The document's title, where a paragraph is styled as one, and its text."""
    try:
        root = ElementTree.fromstring(_main_part(file))  # noqa: S314 - no DTD gets here
    except (ElementTree.ParseError, zipfile.BadZipFile, KeyError, OSError, ValueError) as error:
        raise Unreadable("unreadable_document", _DAMAGED) from error
    text, title = TextBuilder(), ""
    for block in _blocks(root):
        if block.tag == f"{_W}tbl":
            for row in block.iter(f"{_W}tr"):
                cells = (" ".join(_texts(cell)).strip() for cell in row.iter(f"{_W}tc"))
                text.add("\t".join(cells))
                text.break_line()
            text.break_line(blank=True)
            continue
        line = "".join(_texts(block))
        style = _style(block)
        if style == "title" and not title:
            title = " ".join(line.split())
        if style.startswith("heading") and line.strip():
            text.heading(" ".join(line.split()))
        text.add(line)
        text.break_line(blank=True)
    return title, text.page()


def _main_part(file: Path) -> bytes:
    with zipfile.ZipFile(file) as archive:
        if archive.getinfo("word/document.xml").file_size > _MOST_BYTES:
            raise Unreadable("too_much_text", "This DOCX holds more text than is read.")
        with archive.open("word/document.xml") as part:
            # The size in the directory is a claim; what comes out is counted.
            content = part.read(_MOST_BYTES + 1)
    # Entities are the one way in which a small XML text can grow or reach out.
    if len(content) > _MOST_BYTES or b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise Unreadable("unreadable_document", _DAMAGED)
    return content


def _blocks(root: ElementTree.Element) -> Iterator[ElementTree.Element]:
    body = root.find(f"{_W}body")
    for block in body if body is not None else ():
        if block.tag == f"{_W}sdt":
            yield from block.iter(f"{_W}p")
        elif block.tag in (f"{_W}p", f"{_W}tbl"):
            yield block


def _texts(block: ElementTree.Element) -> Iterator[str]:
    for node in block.iter():
        if node.tag == f"{_W}t":
            yield node.text or ""
        elif node.tag in (f"{_W}tab", f"{_W}br", f"{_W}cr"):
            yield "\t" if node.tag == f"{_W}tab" else "\n"


def _style(block: ElementTree.Element) -> str:
    node = block.find(f"{_W}pPr/{_W}pStyle")
    return (node.get(f"{_W}val", "") if node is not None else "").lower()
