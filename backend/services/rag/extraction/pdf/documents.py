"""Open PDF files with pdfium."""

from pathlib import Path

import pypdfium2


def open_document(file: Path, password: str | None) -> pypdfium2.PdfDocument:
    """Return the PDF *file*. Raises PdfiumError."""
    if file.is_relative_to("/proc"):
        # A memory file, whose path pypdfium2 would resolve to a name that does not exist.
        return pypdfium2.PdfDocument(file.open("rb"), password=password, autoclose=True)
    return pypdfium2.PdfDocument(file, password=password)
