"""Comments on the slides of a PPTX file, in the old form and with replies ([MS-PPTX])."""

from collections.abc import Iterator

from backend.services.rag.extraction.office.drawing.text import read_paragraphs
from backend.services.rag.extraction.office.ooxml import Element, Package

_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_P188 = "{http://schemas.microsoft.com/office/powerpoint/2018/8/main}"
_COMMENTS = (f"{_P}cm", f"{_P188}cm", f"{_P188}reply")


class Comments:
    """Reads comments with the names of their authors."""

    def __init__(self, package: Package, presentation: str) -> None:
        self._package = package
        self._authors = {
            author.get("id", ""): author.get("name", "")
            for kind in ("commentAuthors", "authors")
            for part in package.related_parts(presentation, kind).values()
            for author in _children(package.read_optional_part(part))
        }

    def read_comments(self, slide: str) -> Iterator[str]:
        """Yield the comments on *slide*, each followed by its replies."""
        for part in self._package.related_parts(slide, "comments").values():
            root = self._package.read_optional_part(part)
            for comment in root.iter() if root is not None else ():
                if comment.tag not in _COMMENTS:
                    continue
                text = _read_text(comment)
                author = self._authors.get(comment.get("authorId", ""), "")
                if text:
                    yield f"Comment ({author}): {text}" if author else f"Comment: {text}"


def _read_text(comment: Element) -> str:
    body = comment.find(f"{_P188}txBody")
    lines = read_paragraphs(body) if body is not None else [comment.findtext(f"{_P}text") or ""]
    return "\n".join(lines).strip()


def _children(root: Element | None) -> Iterator[Element]:
    yield from root if root is not None else ()
