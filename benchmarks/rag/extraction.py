"""Print how fast and how well documents are read, beside plain pypdf.

    python -m benchmarks.rag.extraction FOLDER

FOLDER holds documents of any kind. Speed is measured on its PDF files with text, in one thread,
in CPU seconds: other work on the machine does not count. Agreement is that of the words in their
order (twice the words in common runs by all words, difflib): 1 is every word in its place. It is
taken against text that is known: pages made here, and for a picture `x.png` the text of `x.pdf`
beside it.
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

from backend.services.rag.clients.extraction import Extractor, Limits
from backend.services.rag.clients.formats import images, pdf
from backend.services.rag.clients.formats.kinds import Mismatch, NotRead, kind_of
from backend.services.rag.clients.formats.page import SCAN, cleaned
from backend.services.rag.errors import ExtractionFailed
from tests.documents import Words
from tests.documents import pdf as pdf_of

_LEAST_CPU_SECONDS = 2.0
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
        _print_order(Path(scratch))
    _print_pictures(files)
    _print_speed(files)
    _print_whole_way(files)


def _ours(file: Path) -> str:
    return "\n".join(cleaned(page).text for page in pdf.read(file).pages if page is not SCAN)


def _plain_pdfium(file: Path) -> str:
    document = pypdfium2.PdfDocument(file)
    return "\n".join(page.get_textpage().get_text_range() for page in document)


def _plain_pypdf(file: Path) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(file).pages)


_READERS: dict[str, Callable[[Path], str]] = {
    "ours": _ours,
    "pdfium alone": _plain_pdfium,
    "pypdf": _plain_pypdf,
}


def _print_order(scratch: Path) -> None:
    """Pages made here, whose words are known."""
    print("| agreement of words | " + " | ".join(_READERS) + " |")
    print("|---|" + "---|" * len(_READERS))
    for name, (content, expected) in _made_pages().items():
        file = scratch / "page.pdf"
        file.write_bytes(content)
        found = [_agreement(read(file), expected) for read in _READERS.values()]
        print(f"| {name} | " + " | ".join(f"{each:.3f}" for each in found) + " |")
    print()


def _made_pages() -> dict[str, tuple[bytes, str]]:
    words = _PROSE.split()
    wide, narrow = _lines(words, 90), _lines(words, 42)
    half = len(narrow) // 2
    left = [Words(60, 700 - 13 * n, line) for n, line in enumerate(narrow[:half])]
    right = [Words(320, 700 - 13 * n, line) for n, line in enumerate(narrow[half:])]
    by_line = sorted([*left, *right], key=lambda line: (-line.y, line.x))
    upwards = [Words(100 + 13 * n, 100, line, matrix=(0, 1, -1, 0)) for n, line in enumerate(wide)]
    cells = [
        Words(60 + 150 * column, 700 - 15 * row, cell)
        for column in range(3)
        for row, cell in enumerate(line[column] for line in _TABLE)
    ]
    return {
        "one column": (pdf_of([Words(60, 700 - 13 * n, x) for n, x in enumerate(wide)]), _PROSE),
        "two columns, drawn one after the other": (pdf_of([*left, *right]), _PROSE),
        "two columns, drawn line by line": (pdf_of(by_line), _PROSE),
        "a page turned by 90 degrees": (pdf_of(by_line, rotate=90), _PROSE),
        "text that runs upwards": (pdf_of(upwards), _PROSE),
        "a table, drawn column by column": (pdf_of(cells), "\n".join(map(" ".join, _TABLE))),
    }


def _lines(words: Iterable[str], most: int) -> list[str]:
    lines = [""]
    for word in words:
        if len(lines[-1]) + len(word) >= most:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _print_pictures(files: list[Path]) -> None:
    for picture in files:
        text = picture.with_suffix(".pdf")
        if picture.suffix == ".png" and text in files:
            began = time.process_time()
            read = "\n".join(page.text for page in images.read(picture).pages if page is not SCAN)
            took = time.process_time() - began
            agreement = _agreement(read, _ours(text))
            letters = SequenceMatcher(None, _plain(read), _plain(_ours(text)), False).ratio()
            print(
                f"OCR of {picture.name} against the text of {text.name}: words {agreement:.3f}, "
                f"letters {letters:.3f}, {took:.1f} CPU seconds with the loading of the models\n"
            )


def _print_speed(files: list[Path]) -> None:
    texts = [file for file in files if file.suffix == ".pdf"]
    pages = sum(len(pypdfium2.PdfDocument(file)) for file in texts)
    print(f"| {len(texts)} PDF files, {pages} pages | pages a CPU second |")
    print("|---|---|")
    for name, read in _READERS.items():
        done, began = 0, time.process_time()
        while time.process_time() - began < _LEAST_CPU_SECONDS:
            for file in texts:
                read(file)
            done += pages
        print(f"| {name} | {done / (time.process_time() - began):,.0f} |")
    print()


def _print_whole_way(files: list[Path]) -> None:
    """Through the process of its own, as an upload is read."""
    print("| file | kind | pages | characters | seconds |")
    print("|---|---|---|---|---|")
    for file in files:
        began = time.perf_counter()
        try:
            kind = kind_of(file, file.name, "")
            extracted = Extractor(Limits()).extract(file, kind, lambda *_: None)
        except (Mismatch, NotRead, ExtractionFailed) as refused:
            print(f"| {file.name} | refused: {refused} | | | |")
            continue
        size = sum(map(len, extracted.pages))
        pages = len(extracted.pages) if extracted.paged else "-"
        took = time.perf_counter() - began
        print(f"| {file.name} | {kind} | {pages} | {size:,} | {took:.2f} |")


def _agreement(read: str, expected: str) -> float:
    return SequenceMatcher(None, _words(read), _words(expected), False).ratio()


def _words(text: str) -> list[str]:
    return re.sub(r"-\n(?=[a-z])", "", text).split()


def _plain(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    main()
