"""Print the speed and quality of text extraction, compared with pdfium and pypdf.

    python -m benchmarks.rag.extraction FOLDER

FOLDER contains documents of any type. Speed is measured on its PDF files with text, in one thread,
in CPU seconds, so that other work on the machine does not count. Agreement compares the words in
their order with a known text (twice the words in common runs divided by all words, difflib); 1
means that every word is in its position. The known texts are those of generated pages, and for an
image `x.png` the text of `x.pdf` in the same folder.
"""

import logging
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from difflib import SequenceMatcher
from pathlib import Path

import pypdfium2
from pypdf import PdfReader

from backend.services.rag.errors import ExtractionFailed
from backend.services.rag.extraction.content import Page, clean_page
from backend.services.rag.extraction.detection import (
    TypeMismatch,
    UnsupportedType,
    detect_document_type,
)
from backend.services.rag.extraction.extractor import ExtractionLimits, Extractor
from backend.services.rag.extraction.images.parser import parse_image
from backend.services.rag.extraction.pdf.parser import parse_pdf
from tests.documents import TextLine
from tests.documents import pdf as build_pdf

_MIN_CPU_SECONDS = 2.0
_PROSE = """The tenant may end this contract at the close of any month if notice is given in
writing no later than three months before. The rent is due on the third working day and rises
with the index of consumer prices, at most once a year. Repairs that cost less than a hundred
are borne by the tenant, all others by the owner, who has to begin them within two weeks of
being told. Animals other than small ones need consent, which may be refused for good reason
only. Whoever leaves hands back every key, and the rooms as they were, save for fair wear."""
_TABLE = [
    [f"{name} {size}", str(3 * number + 7), f"{number * 1.35:.2f}"]
    for number, (name, size) in enumerate(
        (name, size) for name in ("Nut", "Bolt", "Washer", "Pin") for size in (3, 4, 5, 6, 8)
    )
]


def main() -> None:
    folder = Path(sys.argv[1])
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    files = [file for file in sorted(folder.iterdir()) if file.is_file()]
    with tempfile.TemporaryDirectory() as scratch:
        _print_word_agreement(Path(scratch))
    _print_ocr_agreement(files)
    _print_speed(files)
    _print_extraction_process(files)


def _extract_with_service(file: Path) -> str:
    return "\n".join(
        clean_page(page).text for page in parse_pdf(file).pages if isinstance(page, Page)
    )


def _extract_with_pdfium(file: Path) -> str:
    document = pypdfium2.PdfDocument(file)
    return "\n".join(page.get_textpage().get_text_range() for page in document)


def _extract_with_pypdf(file: Path) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(file).pages)


_EXTRACTORS: dict[str, Callable[[Path], str]] = {
    "service": _extract_with_service,
    "pdfium": _extract_with_pdfium,
    "pypdf": _extract_with_pypdf,
}


def _print_word_agreement(scratch: Path) -> None:
    """Print the agreement for generated pages, whose words are known."""
    print("| agreement of words | " + " | ".join(_EXTRACTORS) + " |")
    print("|---|" + "---|" * len(_EXTRACTORS))
    for name, (content, expected) in _build_pages().items():
        file = scratch / "page.pdf"
        file.write_bytes(content)
        agreements = [_compute_agreement(read(file), expected) for read in _EXTRACTORS.values()]
        print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in agreements) + " |")
    print()


def _build_pages() -> dict[str, tuple[bytes, str]]:
    words = _PROSE.split()
    wide, narrow = _lines(words, 90), _lines(words, 42)
    half = len(narrow) // 2
    left = [TextLine(60, 700 - 13 * n, line) for n, line in enumerate(narrow[:half])]
    right = [TextLine(320, 700 - 13 * n, line) for n, line in enumerate(narrow[half:])]
    by_line = sorted([*left, *right], key=lambda line: (-line.y, line.x))
    upwards = [
        TextLine(100 + 13 * n, 100, line, matrix=(0, 1, -1, 0)) for n, line in enumerate(wide)
    ]
    cells = [
        TextLine(60 + 150 * column, 700 - 15 * row, cell)
        for column in range(3)
        for row, cell in enumerate(line[column] for line in _TABLE)
    ]
    return {
        "one column": (
            build_pdf([TextLine(60, 700 - 13 * n, x) for n, x in enumerate(wide)]),
            _PROSE,
        ),
        "two columns, drawn one after the other": (build_pdf([*left, *right]), _PROSE),
        "two columns, drawn line by line": (build_pdf(by_line), _PROSE),
        "page rotated by 90 degrees": (build_pdf(by_line, rotate=90), _PROSE),
        "vertical text": (build_pdf(upwards), _PROSE),
        "a table, drawn column by column": (build_pdf(cells), "\n".join(map(" ".join, _TABLE))),
    }


def _lines(words: Iterable[str], max_characters: int) -> list[str]:
    lines = [""]
    for word in words:
        if len(lines[-1]) + len(word) >= max_characters:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _print_ocr_agreement(files: list[Path]) -> None:
    for image in files:
        text = image.with_suffix(".pdf")
        if image.suffix == ".png" and text in files:
            started_at = time.process_time()
            read = "\n".join(
                page.text for page in parse_image(image).pages if isinstance(page, Page)
            )
            seconds = time.process_time() - started_at
            agreement = _compute_agreement(read, _extract_with_service(text))
            characters = SequenceMatcher(
                None, _normalise_spaces(read), _normalise_spaces(_extract_with_service(text)), False
            ).ratio()
            print(
                f"OCR of {image.name} against the text of {text.name}: words {agreement:.3f}, "
                f"letters {characters:.3f}, {seconds:.1f} CPU seconds with loading of the models\n"
            )


def _print_speed(files: list[Path]) -> None:
    texts = [file for file in files if file.suffix == ".pdf"]
    pages = sum(len(pypdfium2.PdfDocument(file)) for file in texts)
    print(f"| {len(texts)} PDF files, {pages} pages | pages a CPU second |")
    print("|---|---|")
    for name, read in _EXTRACTORS.items():
        done, started_at = 0, time.process_time()
        while time.process_time() - started_at < _MIN_CPU_SECONDS:
            for file in texts:
                read(file)
            done += pages
        print(f"| {name} | {done / (time.process_time() - started_at):,.0f} |")
    print()


def _print_extraction_process(files: list[Path]) -> None:
    """Print the time of complete extractions in a separate process, as for an upload."""
    print("| file | kind | pages | characters | seconds |")
    print("|---|---|---|---|---|")
    for file in files:
        started_at = time.perf_counter()
        try:
            kind = detect_document_type(file, file.name, "")
            extracted = Extractor(ExtractionLimits()).extract_text(file, kind, lambda *_: None)
        except (TypeMismatch, UnsupportedType, ExtractionFailed) as error:
            print(f"| {file.name} | error: {error} | | | |")
            continue
        size = sum(map(len, extracted.pages))
        pages = len(extracted.pages) if extracted.has_pages else "-"
        seconds = time.perf_counter() - started_at
        print(f"| {file.name} | {kind.name} | {pages} | {size:,} | {seconds:.2f} |")


def _compute_agreement(read: str, expected: str) -> float:
    return SequenceMatcher(None, _words(read), _words(expected), False).ratio()


def _words(text: str) -> list[str]:
    return re.sub(r"-\n(?=[a-z])", "", text).split()


def _normalise_spaces(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    main()
