"""Text, Markdown and CSV: the bytes as they stand, and Markdown's headings."""

import re
from pathlib import Path

from backend.services.rag.clients.formats.page import Page

_HEADING = re.compile(r"^(#{1,6})[ \t]+(.+?)[ \t#]*$", re.M)
_FENCE = re.compile(r"^(```|~~~).*?(?:^\1|\Z)", re.M | re.S)


def read_text(file: Path) -> Page:
    return Page(decoded(file.read_bytes()))


def read_markdown(file: Path) -> tuple[str, Page]:
    """The first top heading as title, and the text with its headings."""
    text = decoded(file.read_bytes())
    code = [match.span() for match in _FENCE.finditer(text)]
    found = [
        match
        for match in _HEADING.finditer(text)
        if not any(start <= match.start() < end for start, end in code)
    ]
    title = next((match[2] for match in found if len(match[1]) == 1), "")
    return title, Page(text, [(match.start(), match[2]) for match in found])


def decoded(content: bytes) -> str:
    """UTF-8, or UTF-16 with its mark, or else what Western Windows would have written."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")
