"""Read the parts of an Office Open XML package: XML files in a ZIP archive with relationships.

Nothing is fetched: relationships to targets outside the archive are ignored. Sizes are measured
while decompressing, because the sizes declared in the archive are not trustworthy.
"""

import io
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from xml.etree import ElementTree
from xml.parsers import expat

from backend.services.rag.extraction.content import UnreadableFile

Element = ElementTree.Element

RELATIONSHIPS = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
# Alternative content for programs that do not know an element (ECMA-376 Part 3, 7.7).
FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_PACKAGE = "{http://schemas.openxmlformats.org/package/2006/relationships}"
# For the text, ISO/IEC 29500 Strict differs from Transitional in the namespaces only.
_STRICT_HOST = b"purl.oclc.org"
_STRICT = re.compile(rb"http://purl\.oclc\.org/ooxml/(\w+)/(\w+)")
_MAX_PART_BYTES = 100 * 2**20
_MAX_PACKAGE_BYTES = 400 * 2**20
_PROLOG_BYTES = 2**16
_MALFORMED = (
    zipfile.BadZipFile, zlib.error, ElementTree.ParseError, expat.ExpatError, LookupError,
    ValueError, EOFError, OSError, NotImplementedError, RecursionError, RuntimeError,
)  # fmt: skip


class Package:
    """An open package. Parts are read by name or by their relationship to another part."""

    def __init__(self, archive: zipfile.ZipFile, budget: "_ByteBudget | None" = None) -> None:
        self._archive = archive
        self._budget = budget or _ByteBudget(_MAX_PACKAGE_BYTES)
        # Last segment of the type and name of the target part, by part and relationship id.
        self._relationships: dict[str, dict[str, tuple[str, str]]] = {}
        self._content_types: ContentTypes | None = None

    def find_main_part(self) -> str:
        """Return the name of the main part. Raises KeyError."""
        (name,) = [*self.related_parts("", "officeDocument").values()][:1] or [""]
        if not name:
            raise KeyError("officeDocument")
        return name

    def related_parts(self, part: str, kind: str) -> dict[str, str]:
        """Return the parts that *part* has relationships of *kind* to, by relationship id.

        Args:
            kind: last segment of the relationship type, e.g. `styles`.
        """
        return {
            identifier: target
            for identifier, (target_kind, target) in self._get_relationships(part).items()
            if target_kind == kind
        }

    def find_related_part(self, part: str, identifier: str) -> str:
        """Return the name of the part that the relationship *identifier* of *part* refers to."""
        return self._get_relationships(part).get(identifier, ("", ""))[1]

    def _get_relationships(self, part: str) -> dict[str, tuple[str, str]]:
        if part not in self._relationships:
            folder, name = posixpath.split(part)
            root = self.read_optional_part(posixpath.join(folder, "_rels", f"{name}.rels"))
            self._relationships[part] = {
                relationship.get("Id", ""): (
                    relationship.get("Type", "").rpartition("/")[2],
                    posixpath.normpath(
                        posixpath.join("/", folder, relationship.get("Target", ""))
                    ).lstrip("/"),
                )
                for relationship in (root if root is not None else ())
                if relationship.tag == f"{_PACKAGE}Relationship"
                and relationship.get("TargetMode") != "External"
            }
        return self._relationships[part]

    def get_content_type(self, part: str) -> str:
        """Return the declared media type of *part* in lower case, or ""."""
        if self._content_types is None:
            self._content_types = ContentTypes(self.read_optional_part("[Content_Types].xml"))
        return self._content_types.get(part)

    def read_bytes(self, part: str) -> bytes:
        """Return the content of *part*, or b"" if the package has no such part."""
        if part not in self._archive.NameToInfo:
            return b""
        with self._open_stream(part) as source:
            return source.read(_MAX_PART_BYTES)

    def open_embedded(self, content: bytes) -> "Package":
        """Open a package that is a part of this one. Both share the limit on their sizes."""
        return Package(zipfile.ZipFile(io.BytesIO(content)), self._budget)

    def read_optional_part(self, part: str) -> Element | None:
        """Return the root element of *part*, or None if the package has no such part."""
        return self.read_part(part) if part in self._archive.NameToInfo else None

    def read_part(self, part: str) -> Element:
        """Return the root element of *part*, with the namespaces of Transitional."""
        with self._open(part) as source:
            content = source.read(_MAX_PART_BYTES)
        if _STRICT_HOST in content:
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
                    # Free the memory of the element, and remove it from its parent.
                    element.clear()
                    open_elements[-1].clear()

    @contextmanager
    def _open(self, part: str) -> Iterator["_BoundedStream"]:
        """Open an XML part. Raises ParseError if it has a document type declaration."""
        with self._open_stream(part) as stream:
            _reject_doctype(stream.peek(_PROLOG_BYTES))
            yield stream

    @contextmanager
    def _open_stream(self, part: str) -> Iterator["_BoundedStream"]:
        with self._archive.open(part) as source:
            stream = _BoundedStream(source, self._budget.bytes_left)
            try:
                yield stream
            finally:
                self._budget.bytes_left -= stream.bytes_read


class ContentTypes:
    """Media types of the parts of a package (ECMA-376 Part 2)."""

    def __init__(self, root: Element | None) -> None:
        self._by_part: dict[str, str] = {}
        self._by_suffix: dict[str, str] = {}
        for row in root if root is not None else ():
            media_type = row.get("ContentType", "").lower()
            if row.tag.endswith("}Override"):
                self._by_part[row.get("PartName", "").lstrip("/").lower()] = media_type
            elif row.tag.endswith("}Default"):
                self._by_suffix[row.get("Extension", "").lower()] = media_type

    def get(self, part: str) -> str:
        suffix = part.rpartition(".")[2].lower()
        return self._by_part.get(part.lower()) or self._by_suffix.get(suffix, "")


@dataclass(slots=True)
class _ByteBudget:
    """Number of bytes of a package and of embedded packages that may still be read."""

    bytes_left: int


class _BoundedStream:
    """A stream that raises UnreadableFile when more than *max_bytes* are read."""

    def __init__(self, source: IO[bytes], max_bytes: int) -> None:
        self._source = source
        self._max_bytes = min(max_bytes, _MAX_PART_BYTES)
        self._head = b""
        self.bytes_read = 0

    def peek(self, size: int) -> bytes:
        """Return the first *size* bytes, which the following reads return again."""
        self._head = self._source.read(size)
        return self._head

    def read(self, size: int = -1, /) -> bytes:
        size = min(size, self._max_bytes) if size >= 0 else self._max_bytes
        data, self._head = self._head[:size], self._head[size:]
        if len(data) < size:
            data += self._source.read(size - len(data))
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


def _reject_doctype(head: bytes) -> None:
    """Raise ParseError if the XML that begins with *head* has a document type declaration.

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
        parser.Parse(head)
        reject()  # a prolog that is longer than *head* is rejected
    except _PrologEnd:
        pass


class _PrologEnd(Exception):
    pass
