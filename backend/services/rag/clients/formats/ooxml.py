"""What DOCX, PPTX and XLSX share: XML parts in an archive that point to one another.

Nothing is ever fetched: a part that lies outside the archive is no part. Sizes are counted as
they come out, for what the archive says about them is a claim.
"""

import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from xml.etree import ElementTree
from xml.parsers import expat

from backend.services.rag.clients.formats.page import Unreadable

Element = ElementTree.Element

RELATIONS = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_PACKAGE = "{http://schemas.openxmlformats.org/package/2006/relationships}"
# The stricter edition of the standard names its parts otherwise; all else is the same.
_STRICT = re.compile(rb"http://purl\.oclc\.org/ooxml/(\w+)/(\w+)")
_STRICT_NAME = "http://purl.oclc.org/ooxml/"
_MOST_PART_BYTES = 100 * 2**20
_MOST_BYTES = 400 * 2**20
_PROLOG_BYTES = 2**16
_BROKEN = (
    zipfile.BadZipFile, zlib.error, ElementTree.ParseError, expat.ExpatError, KeyError, ValueError,
    EOFError, OSError, NotImplementedError, RecursionError, RuntimeError,
)  # fmt: skip


class Package:
    """An open file. Parts are asked for by name, or by how another part relates to them."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._read = 0

    def main_part(self) -> str:
        (name,) = [*self.related("", "officeDocument").values()][:1] or [""]
        if not name:
            raise KeyError("officeDocument")
        return name

    def related(self, part: str, kind: str) -> dict[str, str]:
        """Ids and names of the parts that *part* relates to as *kind*, in its order."""
        folder, name = posixpath.split(part)
        relations = self.optional(posixpath.join(folder, "_rels", f"{name}.rels"))
        return {
            one.get("Id", ""): posixpath.normpath(
                posixpath.join("/", folder, one.get("Target", ""))
            ).lstrip("/")
            for one in (relations if relations is not None else ())
            if one.tag == f"{_PACKAGE}Relationship"
            and one.get("Type", "").rpartition("/")[2] == kind
            and one.get("TargetMode") != "External"
        }

    def optional(self, part: str) -> Element | None:
        """The part, or None where there is none of this name."""
        return self.part(part) if part in self._archive.NameToInfo else None

    def part(self, part: str) -> Element:
        with self._open(part) as source:
            content = source.read(_MOST_PART_BYTES)
        content = _STRICT.sub(rb"http://schemas.openxmlformats.org/\1/2006/\2", content)
        return ElementTree.fromstring(content)  # noqa: S314 - no DTD gets here

    def elements(self, part: str, tag: str) -> Iterator[Element]:
        """The elements of a long part that end in *tag*, one by one, without namespaces."""
        with self._open(part) as source:
            open_elements: list[Element] = []
            for event, element in ElementTree.iterparse(source, ("start", "end")):  # noqa: S314
                if event == "start":
                    element.tag = element.tag.rpartition("}")[2]
                    open_elements.append(element)
                    continue
                open_elements.pop()
                if element.tag == tag:
                    yield element
                    # What was read is let go, here and in what it hangs on.
                    element.clear()
                    open_elements[-1].clear()

    @contextmanager
    def _open(self, part: str) -> Iterator["_Counted"]:
        with self._archive.open(part) as source:
            _refuse_declarations(source)
        with self._archive.open(part) as source:
            counted = _Counted(source, _MOST_BYTES - self._read)
            try:
                yield counted
            finally:
                self._read += counted.passed


class _Counted:
    """A stream that ends in an error where too much comes out of it."""

    def __init__(self, source: IO[bytes], most: int) -> None:
        self._source = source
        self._most = min(most, _MOST_PART_BYTES)
        self.passed = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._source.read(min(size, self._most) if size >= 0 else self._most)
        self.passed += len(data)
        if self.passed >= self._most:
            raise Unreadable("too_much_text", "This file holds more text than is read.")
        return data


@contextmanager
def opened(file: Path, kind: str) -> Iterator[Package]:
    """The package in *file*; whatever is wrong with it leaves as Unreadable."""
    try:
        with zipfile.ZipFile(file) as archive:
            yield Package(archive)
    except _BROKEN as error:
        detail = f"This {kind} is damaged beyond reading."
        raise Unreadable("unreadable_document", detail) from error


def _refuse_declarations(source: IO[bytes]) -> None:
    """Entities are the one way in which a small XML text can grow or reach out, and they are
    declared before the first element, in whatever encoding."""

    def refuse(*_: object) -> None:
        raise ElementTree.ParseError("a document type declaration")

    def done(*_: object) -> None:
        raise _PrologEnds

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = done
    try:
        parser.Parse(source.read(_PROLOG_BYTES))
        refuse()  # a prolog this long declares something
    except _PrologEnds:
        pass


class _PrologEnds(Exception):
    pass
