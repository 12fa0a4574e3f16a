"""Pages of PDF documents as images, and the boxes of quotes on them."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from backend.services.rag.domain.blob_storage import OriginalFile
from backend.services.rag.domain.documents import Document, DocumentService
from backend.services.rag.errors import PageNotFound
from backend.services.rag.extraction.extractor import PAGE_BREAK
from backend.services.rag.extraction.line_boxes import find_line_boxes
from backend.services.rag.extraction.page_views import PageGeometry, PageViewer
from backend.services.rag.model import Viewer

T = TypeVar("T", bytes, PageGeometry)

_PDF = "application/pdf"
# Part of the cache keys and ETags: raise it if rendering changes.
_VERSION = 1
_MAX_CACHE_BYTES = 64 * 2**20
# Estimated size of an entry without its image.
_ENTRY_BYTES = 1024
_BOX_BYTES = 160
# Boxes of longer pages are not searched: such pages are not made for reading.
_MAX_PAGE_CHARACTERS = 300_000


@dataclass(frozen=True, slots=True)
class PageImage:
    """An image that is rendered when it is needed.

    Attributes:
        etag: identifies the image without rendering it.
        render: returns the content. Raises PagePasswordRequired, PageUnavailable and
            PageRenderingBusy.
    """

    etag: str
    render: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class _QuotePart:
    """The characters *start* to *end* of a page's text, and the page's lines if it is scanned."""

    text: str
    start: int
    end: int
    lines: Sequence[Sequence[Any]]

    @property
    def key(self) -> Hashable:
        # The text may change when the document is indexed again.
        return hash(self.text), self.start, self.end


class PageViewService:
    """Renders pages of documents, with a cache of 64 MB for this process."""

    def __init__(self, documents: DocumentService, viewer: PageViewer) -> None:
        self._documents = documents
        self._viewer = viewer
        self._cache = _SizedCache(_MAX_CACHE_BYTES)

    def get_image(
        self,
        viewer: Viewer,
        document_id: str,
        page: int,
        width: int,
        image_format: str,
        password: str | None = None,
    ) -> PageImage:
        """Return the image of *page*, *width* pixels wide.

        Access is checked before the cache is used. Pages that a password opened are not
        cached, because each user needs the password.

        Raises:
            DocumentNotFound: the document does not exist for *viewer*.
            PageNotFound: it is no PDF, or has no such page.
        """
        document, file = self._get_pdf(viewer, document_id, page)
        key = (document.sha256, page, width, image_format)

        def create() -> bytes:
            with file.open_clear_path() as path:
                return self._viewer.render_page(path, page, width, image_format, password)

        def render() -> bytes:
            return create() if password else self._cache.get_or_create(key, create, len)

        return PageImage(f"{document.sha256[:24]}-{page}-{width}-{image_format}-{_VERSION}", render)

    def find_quote(
        self,
        viewer: Viewer,
        document_id: str,
        page: int,
        span: tuple[int, int] | None,
        password: str | None = None,
    ) -> PageGeometry:
        """Return the geometry of *page*, with the boxes of the part of *span* that is on it.

        Args:
            viewer: the caller.
            document_id: id of the document.
            page: number of the page, from 1.
            span: first character of the quote and the one after its last, in the document's text.
            password: opens the PDF if it is encrypted.

        Raises:
            DocumentNotFound: the document does not exist for *viewer*.
            PageNotFound: it is no PDF, or has no such page.
            PagePasswordRequired: *password* does not open the PDF.
            PageUnavailable: the page cannot be read within the limits.
            PageRenderingBusy: too many requests are waiting.
        """
        document, file = self._get_pdf(viewer, document_id, page)
        quote = None if span is None else self._find_on_page(viewer, document_id, page, span)
        if password:
            return self._locate(file, page, quote, password)
        return self._cache.get_or_create(
            (document.sha256, page, quote and quote.key),
            lambda: self._locate(file, page, quote, None),
            lambda geometry: _BOX_BYTES * len(geometry.boxes),
        )

    def _locate(
        self, file: OriginalFile, page: int, quote: _QuotePart | None, password: str | None
    ) -> PageGeometry:
        find = self._viewer.find_quote
        with file.open_clear_path() as path:
            if quote is not None and not quote.lines:
                return find(path, page, quote.text, quote.start, quote.end, password)
            geometry = find(path, page, None, 0, 0, password)
        if quote is None:
            return geometry
        boxes, coverage = find_line_boxes(quote.lines, quote.text, quote.start, quote.end)
        return replace(geometry, boxes=boxes, coverage=coverage)

    def _find_on_page(
        self, viewer: Viewer, document_id: str, page: int, span: tuple[int, int]
    ) -> _QuotePart | None:
        """Return the part of *span* that is on *page*, or None."""
        stored = self._documents.get_text_page(viewer, document_id, page)
        if stored is None or len(stored.text) > _MAX_PAGE_CHARACTERS:
            return None
        text = stored.text.removesuffix(PAGE_BREAK)
        start, end = (min(max(0, position - stored.start), len(text)) for position in span)
        return _QuotePart(text, start, end, stored.lines) if start < end else None

    def _get_pdf(
        self, viewer: Viewer, document_id: str, page: int
    ) -> tuple[Document, OriginalFile]:
        document, file = self._documents.get_original(viewer, document_id)
        if document.content_type != _PDF or not 1 <= page <= (document.pages or 0):
            raise PageNotFound
        return document, file


class _SizedCache:
    """Keeps the most recently used values, up to a total size."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._size_bytes = 0
        self._lock = threading.Lock()
        self._values: OrderedDict[Hashable, tuple[bytes | PageGeometry, int]] = OrderedDict()

    def get_or_create(
        self, key: Hashable, create: Callable[[], T], measure: Callable[[T], int]
    ) -> T:
        """Return the value of *key*, or that of *create*, whose errors are not kept."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key][0]  # type: ignore[return-value]
        value = create()
        size_bytes = _ENTRY_BYTES + measure(value)
        with self._lock:
            if key not in self._values:
                self._values[key] = value, size_bytes
                self._size_bytes += size_bytes
            while self._size_bytes > self._max_bytes:
                self._size_bytes -= self._values.popitem(last=False)[1][1]
        return value
