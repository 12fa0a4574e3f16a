"""Read the parts of an Office Open XML package: XML files in a ZIP archive with relationships.

Nothing is fetched: relationships to targets outside the archive are ignored. Sizes are measured
while decompressing, because the sizes declared in the archive are not trustworthy.
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

from backend.services.rag.extraction.content import UnreadableFile

Element = ElementTree.Element

RELATIONSHIPS = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_PACKAGE = "{http://schemas.openxmlformats.org/package/2006/relationships}"
# ISO/IEC 29500 Strict differs from Transitional in the namespaces only, as far as text matters.
_STRICT = re.compile(rb"http://purl\.oclc\.org/ooxml/(\w+)/(\w+)")
_MAX_PART_BYTES = 100 * 2**20
_MAX_PACKAGE_BYTES = 400 * 2**20
_PROLOG_BYTES = 2**16
_MALFORMED = (
    zipfile.BadZipFile, zlib.error, ElementTree.ParseError, expat.ExpatError, KeyError, ValueError,
    EOFError, OSError, NotImplementedError, RecursionError, RuntimeError,
)  # fmt: skip


class Package:
    """An open package. Parts are read by name or by their relationship to another part."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._bytes_read = 0

    def find_main_part(self) -> str:
        """Return the name of the main part. Raises KeyError."""
        (name,) = [*self.related_parts("", "officeDocument").values()][:1] or [""]
        if not name:
            raise KeyError("officeDocument")
        return name

    def related_parts(self, part: str, kind: str) -> dict[str, str]:
        """Return relationship ids and part names that *part* has relationships of *kind* to.

        Args:
            kind: last segment of the relationship type, e.g. `styles`.
        """
        folder, name = posixpath.split(part)
        relationships = self.read_optional_part(posixpath.join(folder, "_rels", f"{name}.rels"))
        return {
            relationship.get("Id", ""): posixpath.normpath(
                posixpath.join("/", folder, relationship.get("Target", ""))
            ).lstrip("/")
            for relationship in (relationships if relationships is not None else ())
            if relationship.tag == f"{_PACKAGE}Relationship"
            and relationship.get("Type", "").rpartition("/")[2] == kind
            and relationship.get("TargetMode") != "External"
        }

    def read_optional_part(self, part: str) -> Element | None:
        """Return the root element of *part*, or None if the package has no such part."""
        return self.read_part(part) if part in self._archive.NameToInfo else None

    def read_part(self, part: str) -> Element:
        """Return the root element of *part*, with the namespaces of Transitional."""
        with self._open(part) as source:
            content = source.read(_MAX_PART_BYTES)
        content = _STRICT.sub(rb"http://schemas.openxmlformats.org/\1/2006/\2", content)
        return ElementTree.fromstring(content)  # noqa: S314 - DTDs were rejected

    def iterate_elements(self, part: str, tag: str) -> Iterator[Element]:
        """Yield the elements of *part* with the local name *tag*; namespaces are removed.

        For large parts: each element is discarded after it was yielded.
        """
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
                    # Free its memory, also in its parent.
                    element.clear()
                    open_elements[-1].clear()

    @contextmanager
    def _open(self, part: str) -> Iterator["_BoundedStream"]:
        with self._archive.open(part) as source:
            _reject_doctype(source)
        with self._archive.open(part) as source:
            stream = _BoundedStream(source, _MAX_PACKAGE_BYTES - self._bytes_read)
            try:
                yield stream
            finally:
                self._bytes_read += stream.bytes_read


class _BoundedStream:
    """A stream that raises UnreadableFile when more than *max_bytes* are read."""

    def __init__(self, source: IO[bytes], max_bytes: int) -> None:
        self._source = source
        self._max_bytes = min(max_bytes, _MAX_PART_BYTES)
        self.bytes_read = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._source.read(min(size, self._max_bytes) if size >= 0 else self._max_bytes)
        self.bytes_read += len(data)
        if self.bytes_read >= self._max_bytes:
            raise UnreadableFile("too_much_text", "The file contains more text than is supported.")
        return data


@contextmanager
def open_package(file: Path, label: str) -> Iterator[Package]:
    """Open *file*. Errors raised while it is open become UnreadableFile.

    Args:
        label: name of the document type for the error message.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            yield Package(archive)
    except _MALFORMED as error:
        detail = f"The {label} file is damaged and cannot be read."
        raise UnreadableFile("unreadable_document", detail) from error


def _reject_doctype(source: IO[bytes]) -> None:
    """Raise ParseError if the XML has a document type declaration.

    Entities are the only way for a small XML text to expand or to refer to other files. They are
    declared before the first element. expat handles all encodings.
    """

    def reject(*_: object) -> None:
        raise ElementTree.ParseError("document type declaration")

    def end_prolog(*_: object) -> None:
        raise _PrologEnd

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = reject
    parser.StartElementHandler = end_prolog
    try:
        parser.Parse(source.read(_PROLOG_BYTES))
        reject()  # a longer prolog is rejected unread
    except _PrologEnd:
        pass


class _PrologEnd(Exception):
    pass
