"""Notes and threaded comments on the cells of a sheet (ECMA-376 18.7, [MS-XLSX])."""

from collections.abc import Iterator

from backend.services.rag.extraction.office.ooxml import Element, Package
from backend.services.rag.extraction.office.xlsx.strings import read_rich_text
from backend.services.rag.extraction.office.xstrings import decode_xstring

_S = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_THREADED = "{http://schemas.microsoft.com/office/spreadsheetml/2018/threadedcomments}"
# Prefix of the author's name in copies of threaded comments for old programs.
_COPY_AUTHOR = "tc="


class Comments:
    """Reads comments with the names of their authors."""

    def __init__(self, package: Package, workbook: str) -> None:
        self._package = package
        self._persons = {
            person.get("id", ""): person.get("displayName", "")
            for root in self._iterate_parts(workbook, "person")
            for person in root
        }

    def read_comments(self, sheet: str) -> Iterator[str]:
        """Yield the comments of *sheet* with the cells that they refer to."""
        threaded = list(self._iterate_threaded(sheet))
        for cell, author, text in [*self._iterate_notes(sheet, bool(threaded)), *threaded]:
            if text:
                yield (
                    f"Comment on {cell} ({author}): {text}"
                    if author
                    else (f"Comment on {cell}: {text}")
                )

    def _iterate_threaded(self, sheet: str) -> Iterator[tuple[str, str, str]]:
        for root in self._iterate_parts(sheet, "threadedComment"):
            for comment in root.iter(f"{_THREADED}threadedComment"):
                author = self._persons.get(comment.get("personId", ""), "")
                text = decode_xstring(comment.findtext(f"{_THREADED}text") or "")
                yield comment.get("ref", ""), author, _join_lines(text)

    def _iterate_notes(self, sheet: str, skips_copies: bool) -> Iterator[tuple[str, str, str]]:
        for root in self._iterate_parts(sheet, "comments"):
            authors = [
                decode_xstring(node.text or "") for node in root.iterfind(f"{_S}authors/{_S}author")
            ]
            for comment in root.iter(f"{_S}comment"):
                index = comment.get("authorId", "")
                is_known = index.isdecimal() and len(index) < 9 and int(index) < len(authors)
                author = authors[int(index)] if is_known else ""
                content = comment.find(f"{_S}text")
                if content is None or (skips_copies and author.startswith(_COPY_AUTHOR)):
                    continue
                # Applications begin the text with the name of the author.
                text = _join_lines(read_rich_text(content)).removeprefix(f"{author}:").strip()
                yield comment.get("ref", ""), author, text

    def _iterate_parts(self, part: str, kind: str) -> Iterator[Element]:
        for name in self._package.related_parts(part, kind).values():
            root = self._package.read_optional_part(name)
            if root is not None:
                yield root


def _join_lines(text: str) -> str:
    return " ".join(text.split())
