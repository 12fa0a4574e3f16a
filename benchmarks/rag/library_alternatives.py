"""Compare libraries for extraction and keyword search with the service's own code.

    python -m benchmarks.rag.library_alternatives DOCUMENTS DATA [SECTION ...]

DOCUMENTS is a folder of Office, HTML and PDF files. DATA is a folder of question sets in BEIR's
layout. The sections are office, keyword, html and pdf; all of them run by default.

The script installs nothing. It uses the libraries that can be imported and lists the missing ones.
To measure all of them, install into a separate virtual environment that sees this one:

    pip install python-docx openpyxl python-pptx bm25s selectolax html5lib pdfminer.six pdfplumber

CPU times are those of one thread of this process, the best of several runs, so that other work on
the machine matters little. Word agreement is the similarity of two word sequences (twice the number
of words in common blocks by all words, difflib): 1.000 means the same words in the same order.
"""

import atexit
import io
import logging
import random
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from difflib import SequenceMatcher
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import fmean, median
from typing import Any

from backend.ai.text.html import decode_html, extract_html_text
from backend.ai.text.terms import extract_terms
from backend.services.rag.extraction.content import Content, Page, clean_page
from backend.services.rag.extraction.document_types import get_document_type
from backend.services.rag.store.keyword_index.index import KeywordIndex
from backend.services.rag.store.keyword_index.postings import build_postings
from benchmarks.rag.question_sets import QuestionSet, compute_ndcg, read_question_set
from tests import hostile
from tests.documents import TextLine, package, paragraph
from tests.documents import docx as build_docx
from tests.documents import pdf as build_pdf

REPEATS = 5
SEARCH_DEPTH = 100
CHUNK_COUNT = 20_000
LATENCY_QUERIES = 200
BOMB_BYTES = 200 * hostile.MIB
BOMB_CPU_SECONDS = 60
# The memory limit of the service's extraction process.
BOMB_MEMORY_BYTES = 1536 * hostile.MIB
LIBRARIES = (
    "python-docx",
    "openpyxl",
    "python-pptx",
    "bm25s",
    "selectolax",
    "html5lib",
    "pdfminer.six",
    "pdfplumber",
    "pypdfium2",
    "pypdf",
)
_EXTRACTION = "backend.services.rag.extraction"
_SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE_RELATIONSHIPS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_OFFICE_TYPES = "application/vnd.openxmlformats-officedocument"

Reader = Callable[[Path], str]
Search = Callable[[str], list[str]]


def main() -> None:
    if sys.argv[1] == "--read":
        _read_in_child(sys.argv[2], Path(sys.argv[3]))
        return
    logging.disable(logging.CRITICAL)  # PDF libraries log each irregularity of a file
    documents, data = Path(sys.argv[1]), Path(sys.argv[2])
    sections: dict[str, Callable[[], None]] = {
        "office": lambda: print_office(documents),
        "keyword": lambda: print_keyword(data),
        "html": lambda: print_html(documents),
        "pdf": lambda: print_pdf(documents),
    }
    print_versions()
    for name in sys.argv[3:] or sections:
        print(f"\n## {name}\n", flush=True)
        sections[name]()


def print_versions() -> None:
    for library in LIBRARIES:
        try:
            print(f"{library} {version(library)}")
        except PackageNotFoundError:
            print(f"{library} is not installed and not measured")
    print(f"SQLite {sqlite3.sqlite_version}")


# Readers. The imports are local: a library that is missing excludes its rows only.


def _read_own(file: Path) -> str:
    parser = get_document_type(file.suffix.lstrip(".")).parser
    module, function = parser.split(":")
    content: Content = getattr(import_module(f"{_EXTRACTION}.{module}"), function)(file)
    return "\n".join(clean_page(page).text for page in content.pages if isinstance(page, Page))


def _read_python_docx(file: Path) -> str:
    from docx import Document
    from docx.table import Table

    def read_blocks(container: Any) -> Iterator[str]:
        for block in container.iter_inner_content():
            if isinstance(block, Table):
                for row in block.rows:
                    yield "\t".join(cell.text for cell in row.cells)
            else:
                yield block.text

    document = Document(str(file))
    headers = (line for section in document.sections for line in read_blocks(section.header))
    footers = (line for section in document.sections for line in read_blocks(section.footer))
    return "\n".join([*headers, *read_blocks(document), *footers])


def _read_openpyxl(file: Path) -> str:
    from openpyxl import load_workbook

    workbook = load_workbook(file, read_only=True, data_only=True)
    lines = []
    for sheet in workbook.worksheets:
        if sheet.sheet_state != "visible":
            continue
        lines.append(sheet.title)
        lines += (
            "\t".join("" if value is None else str(value) for value in row)
            for row in sheet.iter_rows(values_only=True)
        )
    return "\n".join(lines)


def _read_python_pptx(file: Path) -> str:
    from pptx import Presentation

    def read_shapes(shapes: Any) -> Iterator[str]:
        for shape in shapes:
            if hasattr(shape, "shapes"):
                yield from read_shapes(shape.shapes)
            elif shape.has_text_frame:
                yield shape.text_frame.text
            elif getattr(shape, "has_table", False):
                for row in shape.table.rows:
                    yield "\t".join(cell.text for cell in row.cells)

    lines: list[str] = []
    for slide in Presentation(str(file)).slides:
        lines += read_shapes(slide.shapes)
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
            lines.append("Notes: " + slide.notes_slide.notes_text_frame.text)
    return "\n".join(lines)


def _read_pdfium(file: Path) -> str:
    import pypdfium2

    document = pypdfium2.PdfDocument(file)
    return "\n".join(page.get_textpage().get_text_range() for page in document)


def _read_pypdf(file: Path) -> str:
    from pypdf import PdfReader

    return "\n".join(page.extract_text() for page in PdfReader(file).pages)


def _read_pdfminer(file: Path) -> str:
    from pdfminer.high_level import extract_text

    return str(extract_text(file))


def _read_pdfplumber(file: Path) -> str:
    import pdfplumber

    with pdfplumber.open(file) as document:
        return "\n".join(page.extract_text() for page in document.pages)


OFFICE_READERS: dict[str, tuple[str, Reader]] = {
    "docx": ("python-docx", _read_python_docx),
    "xlsx": ("openpyxl", _read_openpyxl),
    "pptx": ("python-pptx", _read_python_pptx),
}
PDF_READERS: dict[str, Reader] = {
    "own": _read_own,
    "pdfium text": _read_pdfium,
    "pypdf": _read_pypdf,
    "pdfminer.six": _read_pdfminer,
    "pdfplumber": _read_pdfplumber,
}
READERS = {"own": _read_own} | dict(OFFICE_READERS.values())


# Office formats


def print_office(documents: Path) -> None:
    print("| file | library | word agreement | only own | only library | own ms | library ms |")
    print("|---|---|---|---|---|---|---|")
    for file in sorted(documents.iterdir()):
        if library := OFFICE_READERS.get(file.suffix.lstrip(".")):
            _print_office_file(file, *library)
    print()
    with tempfile.TemporaryDirectory() as scratch:
        _print_office_features(Path(scratch))
        _print_office_bombs(Path(scratch))


def _print_office_file(file: Path, name: str, read: Reader) -> None:
    try:
        own, own_ms = _measure(_read_own, file)
    except Exception as error:  # noqa: BLE001 - any error is a result
        print(f"| {file.name} | own | {type(error).__name__} | | | | |")
        return
    try:
        text, library_ms = _measure(read, file)
    except Exception as error:  # noqa: BLE001 - any error is a result
        print(f"| {file.name} | {name} | {type(error).__name__} | | | {own_ms:.1f} | |")
        return
    cells = [f"{_word_agreement(own, text):.3f}", _extra_words(own, text), _extra_words(text, own)]
    print(f"| {file.name} | {name} | {' | '.join(cells)} | {own_ms:.1f} | {library_ms:.1f} |")


def _extra_words(text: str, other: str) -> str:
    """Return how many words of *text* are not in *other*, and the first of them."""
    extra = list((Counter(text.split()) - Counter(other.split())).elements())
    return f"{len(extra)}: {' '.join(extra[:6])[:60]}".replace("|", "/") if extra else "0"


def _print_office_features(scratch: Path) -> None:
    """Print which features of documents made here each reader extracts correctly."""
    print("| feature | expected | own | library |")
    print("|---|---|---|---|")
    for feature, (suffix, content, expected) in _feature_documents().items():
        file = scratch / f"feature.{suffix}"
        file.write_bytes(content)
        cells = []
        for read in (_read_own, OFFICE_READERS[suffix][1]):
            try:
                cells.append(" ".join(read(file).split()))
            except ImportError:
                cells.append("not installed")
            except Exception as error:  # noqa: BLE001 - any error is a result
                cells.append(type(error).__name__)
        print(f"| {suffix}: {feature} | `{expected}` | `{cells[0]}` | `{cells[1]}` |")
    print()


def _feature_documents() -> dict[str, tuple[str, bytes, str]]:
    """Return suffix, content and expected text by feature."""
    run = "<w:r><w:t>{}</w:t></w:r>".format
    control = f"<w:sdt><w:sdtContent>{paragraph('inside')}</w:sdtContent></w:sdt>"
    changes = (
        f"<w:p>{run('a ')}<w:ins w:id='1'>{run('new')}</w:ins>"
        "<w:del w:id='2'><w:r><w:delText>old</w:delText></w:r></w:del></w:p>"
    )
    hidden = f"<w:p>{run('shown')}<w:r><w:rPr><w:vanish/></w:rPr><w:t>hidden</w:t></w:r></w:p>"
    box = (
        f"<w:p>{run('before')}<w:r><w:pict><w:txbxContent>{paragraph('box')}</w:txbxContent>"
        "</w:pict></w:r></w:p>"
    )
    list_item = (
        "<w:p><w:pPr><w:numPr><w:ilvl w:val='0'/><w:numId w:val='1'/></w:numPr></w:pPr>"
        f"{run('item')}</w:p>"
    )
    numbering = (
        f"<w:numbering xmlns:w='{_word_namespace()}'><w:abstractNum w:abstractNumId='0'>"
        "<w:lvl w:ilvl='0'><w:start w:val='1'/><w:numFmt w:val='decimal'/>"
        "<w:lvlText w:val='%1.'/></w:lvl></w:abstractNum>"
        "<w:num w:numId='1'><w:abstractNumId w:val='0'/></w:num></w:numbering>"
    )
    notes = (
        f"<w:footnotes xmlns:w='{_word_namespace()}'><w:footnote w:id='2'>{paragraph('note')}"
        "</w:footnote></w:footnotes>"
    )
    note = f"<w:p>{run('text')}<w:r><w:footnoteReference w:id='2'/></w:r></w:p>"
    merged = (
        "<w:tbl><w:tr><w:tc><w:tcPr><w:gridSpan w:val='2'/></w:tcPr>"
        f"{paragraph('title')}</w:tc></w:tr></w:tbl>"
    )

    def docx(body: str, part: str = "", kind: str = "") -> bytes:
        parts = {f"word/{kind}.xml": part} if kind else {}
        relations = [("r9", kind, f"{kind}.xml")] if kind else []
        return _add_content_types(build_docx(body, parts, relations), "docx")

    return {
        "content control": ("docx", docx(control), "inside"),
        "tracked changes": ("docx", docx(changes), "a new"),
        "hidden text": ("docx", docx(hidden), "shown"),
        "text box": ("docx", docx(box), "before box"),
        "numbered list": ("docx", docx(list_item, numbering, "numbering"), "1. item"),
        "footnote": ("docx", docx(note, notes, "footnotes"), "text[2] [2] note"),
        "merged cells": ("docx", docx(merged), "title"),
        "date": ("xlsx", _workbook('<c r="A1" s="1"><v>45322</v></c>'), "Sheet 2024-01-31"),
        "percentage": ("xlsx", _workbook('<c r="A1" s="2"><v>0.25</v></c>'), "Sheet 25%"),
        "two decimals": ("xlsx", _workbook('<c r="A1" s="3"><v>2.5</v></c>'), "Sheet 2.50"),
        "truth value": ("xlsx", _workbook('<c r="A1" t="b"><v>1</v></c>'), "Sheet TRUE"),
    }


def _word_namespace() -> str:
    return "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def _workbook(cells: str, before: str = "") -> bytes:
    """Return an XLSX with one row of *cells*; *before* precedes the root of its sheet."""
    parts = _workbook_parts() | {
        "xl/worksheets/sheet1.xml": f'{before}<worksheet xmlns="{_SHEET}"><sheetData><row r="1">'
        f"{cells}</row></sheetData></worksheet>"
    }
    return _add_content_types(package("xl/workbook.xml", parts, _workbook_relations()), "xlsx")


def _workbook_parts() -> dict[str, str]:
    return {
        "xl/workbook.xml": f'<workbook xmlns="{_SHEET}" xmlns:r="{_OFFICE_RELATIONSHIPS}"><sheets>'
        '<sheet name="Sheet" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/styles.xml": f'<styleSheet xmlns="{_SHEET}"><fonts count="1"><font/></fonts>'
        '<fills count="1"><fill><patternFill/></fill></fills><borders count="1"><border/></borders>'
        '<cellStyleXfs count="1"><xf/></cellStyleXfs><cellXfs count="4"><xf numFmtId="0"/>'
        '<xf numFmtId="14"/><xf numFmtId="9"/><xf numFmtId="2"/></cellXfs></styleSheet>',
    }


def _workbook_relations() -> list[tuple[str, str, str, str]]:
    main = "xl/workbook.xml"
    return [
        (main, "r1", "worksheet", "worksheets/sheet1.xml"),
        (main, "r2", "styles", "styles.xml"),
    ]


def _add_content_types(content: bytes, suffix: str) -> bytes:
    """Add the part that lists the content types, which the libraries require."""
    types = {
        "word/document.xml": "wordprocessingml.document.main+xml",
        "word/numbering.xml": "wordprocessingml.numbering+xml",
        "word/footnotes.xml": "wordprocessingml.footnotes+xml",
    }
    if suffix == "xlsx":
        types = {
            "xl/workbook.xml": "spreadsheetml.sheet.main+xml",
            "xl/worksheets/sheet1.xml": "spreadsheetml.worksheet+xml",
            "xl/styles.xml": "spreadsheetml.styles+xml",
        }
    out = io.BytesIO(content)
    with zipfile.ZipFile(out, "a") as archive:
        overrides = "".join(
            f'<Override PartName="/{part}" ContentType="{_OFFICE_TYPES}.{kind}"/>'
            for part, kind in types.items()
            if part in archive.namelist()
        )
        archive.writestr(
            "[Content_Types].xml",
            '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default '
            'Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships'
            f'+xml"/><Default Extension="xml" ContentType="application/xml"/>{overrides}</Types>',
        )
    return out.getvalue()


def _print_office_bombs(scratch: Path) -> None:
    """Print how each reader ends on malicious files, in a process with the service's limits."""
    print(
        f"Limits of each process: {BOMB_MEMORY_BYTES // hostile.MIB:,} MiB, "
        f"{BOMB_CPU_SECONDS} CPU seconds.\n"
    )
    print("| file | reader | result | peak MiB | CPU seconds |")
    print("|---|---|---|---|---|")
    for suffix, label, content in _bombs():
        file = scratch / f"bomb.{suffix}"
        file.write_bytes(content)
        size = f"{len(content) / 1000:,.0f} kB"
        for name in ("own", OFFICE_READERS[suffix][0]):
            child = subprocess.run(
                [sys.executable, "-m", "benchmarks.rag.library_alternatives", "--read", name, file],
                capture_output=True,
                text=True,
                check=False,
            )
            cause = "CPU limit exceeded" if child.returncode == -signal.SIGXCPU else "killed"
            result = child.stdout.strip() or f"{cause} | | "
            print(f"| {label}, {size} {suffix.upper()} | {name} | {result} |", flush=True)
    print()


def _bombs() -> Iterator[tuple[str, str, bytes]]:
    expanded = f"{BOMB_BYTES // hostile.MIB} MiB of XML"
    yield "docx", expanded, hostile.office_bomb("docx", BOMB_BYTES)
    yield "xlsx", expanded, _sheet_bomb()
    yield "pptx", expanded, hostile.office_bomb("pptx", BOMB_BYTES)
    yield "docx", "entity bomb", hostile.docx("&i;", hostile.LAUGHS)
    cell = '<c r="A1" t="inlineStr"><is><t>&i;</t></is></c>'
    yield "xlsx", "entity bomb", _workbook(cell, hostile.LAUGHS)


def _sheet_bomb() -> bytes:
    out = io.BytesIO(_workbook(""))
    bomb = io.BytesIO()
    row = b'<row><c t="inlineStr"><is><t>bomb</t></is></c></row>'
    with zipfile.ZipFile(out) as source, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            if name != "xl/worksheets/sheet1.xml":
                target.writestr(name, source.read(name))
        with target.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as sheet:
            sheet.write(f'<worksheet xmlns="{_SHEET}"><sheetData>'.encode())
            block = row * (hostile.MIB // len(row))
            for _ in range(BOMB_BYTES // len(block)):
                sheet.write(block)
            sheet.write(b"</sheetData></worksheet>")
    return bomb.getvalue()


def _read_in_child(name: str, file: Path) -> None:
    """Read *file* within the limits and print a result, the peak memory and the CPU time."""
    resource.setrlimit(resource.RLIMIT_AS, (BOMB_MEMORY_BYTES, BOMB_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (BOMB_CPU_SECONDS, BOMB_CPU_SECONDS + 1))
    try:
        result = f"{len(READERS[name](file)):,} characters"
    except MemoryError:
        result = "memory limit exceeded"
    except ImportError:
        result = "not installed"
    except Exception as error:  # noqa: BLE001 - any error is a result
        reason = " ".join(str(error).split())[:60]
        result = f"{type(error).__name__}: {reason}".replace("|", "/")
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(f"{result} | {usage.ru_maxrss / 1024:,.0f} | {usage.ru_utime + usage.ru_stime:.1f}")


# Keyword search


def print_keyword(data: Path) -> None:
    print("| nDCG@10 | " + " | ".join(_ENGINES) + " |")
    print("|---|" + "---|" * len(_ENGINES))
    question_sets = [read_question_set(data, name) for name in ("xquad", "cisi", "scifact")]
    for question_set in question_sets:
        scores = [f"{_quality(build, question_set):.3f}" for build in _ENGINES.values()]
        print(f"| {question_set.name} | " + " | ".join(scores) + " |", flush=True)
    print()
    _print_keyword_speed(question_sets)


def _build_own(documents: dict[str, str]) -> tuple[Search, Callable[[], None]]:
    index = KeywordIndex(build_postings(key, 1, [text]) for key, text in documents.items())

    def search(query: str) -> list[str]:
        # Chunk ids are `chk_N.generation.ordinal` for the document `doc_N`.
        chunk_ids = index.search_chunks(query, SEARCH_DEPTH)
        return [f"doc_{chunk_id[4:].split('.')[0]}" for chunk_id in chunk_ids]

    def add() -> None:
        index.add_documents([build_postings("added", 1, ["an added document"])])

    return search, add


def _build_bm25s(documents: dict[str, str]) -> tuple[Search, Callable[[], None]]:
    """bm25s with its own tokenizer and English stop words."""
    import bm25s

    def tokenize(texts: list[str]) -> Any:
        return bm25s.tokenize(texts, stopwords="en", show_progress=False)

    return _build_bm25s_index(documents, tokenize)


def _build_bm25s_terms(documents: dict[str, str]) -> tuple[Search, Callable[[], None]]:
    """bm25s with the service's terms."""
    return _build_bm25s_index(documents, lambda texts: [extract_terms(text) for text in texts])


def _build_bm25s_index(
    documents: dict[str, str], tokenize: Callable[[list[str]], Any]
) -> tuple[Search, Callable[[], None]]:
    import bm25s

    keys, texts = list(documents), list(documents.values())
    index = bm25s.BM25(k1=1.2, b=0.75)
    index.index(tokenize(texts), show_progress=False)
    depth = min(SEARCH_DEPTH, len(keys))

    def search(query: str) -> list[str]:
        rows, scores = index.retrieve(tokenize([query]), k=depth, show_progress=False)
        return [keys[row] for row, score in zip(rows[0], scores[0], strict=True) if score > 0]

    def add() -> None:
        # The library has no incremental update: the index is built again.
        index.index(tokenize([*texts, "an added document"]), show_progress=False)

    return search, add


def _build_fts5(documents: dict[str, str]) -> tuple[Search, Callable[[], None]]:
    """FTS5 with its Porter stemmer; any term of the query may match."""
    return _build_fts5_table(documents, "porter unicode61", lambda text: text, re.compile(r"\w+"))


def _build_fts5_terms(documents: dict[str, str]) -> tuple[Search, Callable[[], None]]:
    """FTS5 with the service's terms, separated by spaces."""
    return _build_fts5_table(
        documents, "unicode61", lambda text: " ".join(extract_terms(text)), re.compile(r"\S+")
    )


def _build_fts5_table(
    documents: dict[str, str], tokenizer: str, prepare: Callable[[str], str], term: re.Pattern[str]
) -> tuple[Search, Callable[[], None]]:
    folder = tempfile.mkdtemp(prefix="fts5-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    connection = sqlite3.connect(f"{folder}/fts.db")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(
        f"CREATE VIRTUAL TABLE chunks USING fts5(key UNINDEXED, text, tokenize='{tokenizer}')"
    )
    rows = ((key, prepare(text)) for key, text in documents.items())
    connection.executemany("INSERT INTO chunks VALUES (?, ?)", rows)
    connection.commit()

    def search(query: str) -> list[str]:
        terms = " OR ".join(f'"{word}"' for word in term.findall(prepare(query)))
        if not terms:
            return []
        found = connection.execute(
            "SELECT key FROM chunks WHERE chunks MATCH ? ORDER BY rank LIMIT ?",
            (terms, SEARCH_DEPTH),
        )
        return [key for (key,) in found]

    def add() -> None:
        connection.execute("INSERT INTO chunks VALUES ('added', ?)", (prepare("an added text"),))
        connection.commit()

    return search, add


_ENGINES: dict[str, Callable[[dict[str, str]], tuple[Search, Callable[[], None]]]] = {
    "own": _build_own,
    "bm25s": _build_bm25s,
    "bm25s, own terms": _build_bm25s_terms,
    "FTS5 porter": _build_fts5,
    "FTS5, own terms": _build_fts5_terms,
}


def _quality(
    build: Callable[[dict[str, str]], tuple[Search, Callable[[], None]]], question_set: QuestionSet
) -> float:
    numbers = {f"doc_{n}": key for n, key in enumerate(question_set.documents)}
    texts = (f"{title}\n{text}" for title, text in question_set.documents.values())
    try:
        search, _ = build(dict(zip(numbers, texts, strict=True)))
    except ImportError:
        return float("nan")
    return fmean(
        compute_ndcg([numbers[key] for key in search(text)], question_set.grades[question])
        for question, text in question_set.questions.items()
    )


def _print_keyword_speed(question_sets: list[QuestionSet]) -> None:
    chunks = _make_chunks(question_sets, CHUNK_COUNT)
    queries = [text for data in question_sets for text in data.questions.values()]
    queries = random.Random(2).sample(queries, LATENCY_QUERIES)  # noqa: S311 - reproducible sample
    stored = [build_postings(key, 1, [text]) for key, text in chunks.items()]
    loading_ms = _measure_call(KeywordIndex, stored)
    print(f"Loading the own index from stored postings: {loading_ms:.0f} CPU milliseconds.")
    print(
        f"{CHUNK_COUNT:,} chunks, {LATENCY_QUERIES} queries, one thread, {SEARCH_DEPTH} results\n"
    )
    print("| engine | index, CPU s | query p50, ms | query p95, ms | add one document, ms |")
    print("|---|---|---|---|---|")
    for name, build in _ENGINES.items():
        started = time.process_time()
        try:
            search, add = build(chunks)
        except ImportError:
            continue
        index_seconds = time.process_time() - started
        milliseconds = sorted(_measure_call(search, query) for query in queries)
        added = _measure_call(add)
        print(
            f"| {name} | {index_seconds:.1f} | {median(milliseconds):.1f} "
            f"| {milliseconds[int(len(milliseconds) * 0.95)]:.1f} | {added:,.0f} |",
            flush=True,
        )


def _make_chunks(question_sets: list[QuestionSet], count: int) -> dict[str, str]:
    """Return chunks of eight sentences each, drawn at random from the question sets."""
    sentences = [
        sentence
        for question_set in question_sets
        for _, text in question_set.documents.values()
        for sentence in text.split(". ")
    ]
    choose = random.Random(1).choices  # noqa: S311 - reproducible sample
    return {f"doc_{n}": ". ".join(choose(sentences, k=8)) for n in range(count)}


def _measure_call(call: Callable[..., Any], *arguments: Any) -> float:
    """Return the CPU milliseconds of one call."""
    started = time.process_time()
    call(*arguments)
    return (time.process_time() - started) * 1000


# HTML


def _parse_html5lib(markup: str) -> str:
    import html5lib

    tree = html5lib.parse(markup, namespaceHTMLElements=False)
    return str(html5lib.serialize(tree, omit_optional_tags=False, quote_attr_values="always"))


def _parse_lexbor(markup: str) -> str:
    from selectolax.lexbor import LexborHTMLParser

    return LexborHTMLParser(markup).html or ""


HTML_PARSERS: dict[str, Callable[[str], str]] = {
    "html5lib": _parse_html5lib,
    "selectolax (lexbor)": _parse_lexbor,
}
# Malformed markup, and its text according to the HTML standard.
_HTML_CASES = {
    "text before the first row": ("<table>before<tr><td>a<td>b</table>", "before a b"),
    "text after the last row": ("<table><tr><td>a</td></tr>late</table>", "late a"),
    "hidden paragraph before a div": ("<p hidden>x<div>b</div>", "b"),
    "unclosed element in a hidden div": ("<div hidden>x<b></div>c", "c"),
    "end tag of a line break": ("a</br>b", "a b"),
    "comment closed by --!>": ("a<!-- hidden --!> b", "a b"),
    "comment closed by <!-->": ("a<!--> b", "a b"),
    "end tag without start tag": ("a</p>b", "a b"),
    "reference without semicolon": ("&ampx &copy2024", "&x ©2024"),
    "reference to windows-1252": ("a &#150; b", "a \u2013 b"),
    "script with a nested comment": (
        "a<script><!--<script></script>--></script> b",
        "a b",
    ),
    "markup in a title": ("<title><b>x</b></title>y", "y"),
    "markup in a text area": ("<textarea><b>x</b></textarea>", "<b>x</b>"),
    "self-closing div": ("<div/>a<div>b</div>", "a b"),
    "processing instruction": ("a<?php echo 1 ?>b", "ab"),
}


# Markup that takes some parsers quadratic time.
_PATHOLOGICAL_HTML = {
    "2,000 open <b><p>": "<b><p>x" * 2000,
    "2,000 nested tables": "<table><tr><td>x" * 2000,
    "20,000 open <a>": "<a href=x>x" * 20000,
    "20,000 unclosed comments": "<!-- x" * 20000,
}


def print_html(documents: Path) -> None:
    print("Each parser's tree is serialised and converted by the same code as the service's.\n")
    print("| page | parser | word agreement | own conversion, ms | parse, ms |")
    print("|---|---|---|---|---|")
    for file in sorted(documents.glob("*.html")):
        markup = decode_html(file.read_bytes())
        own, own_ms = _measure(lambda text: extract_html_text(text).text, markup)
        for name, parse in HTML_PARSERS.items():
            try:
                tree, parse_ms = _measure(parse, markup)
            except ImportError:
                continue
            agreement = f"{_word_agreement(own, extract_html_text(tree).text):.3f}"
            print(f"| {file.name} | {name} | {agreement} | {own_ms:.1f} | {parse_ms:.1f} |")
    print("\n| pathological markup | own conversion, ms | " + " | ".join(HTML_PARSERS) + " |")
    print("|---|---|" + "---|" * len(HTML_PARSERS))
    for label, markup in _PATHOLOGICAL_HTML.items():
        calls = [lambda text: extract_html_text(text).text, *HTML_PARSERS.values()]
        cells = [_measure_or_error(call, markup) for call in calls]
        print(f"| {label} | " + " | ".join(cells) + " |", flush=True)
    print("\n| malformed markup | HTML standard | own | " + " | ".join(HTML_PARSERS) + " |")
    print("|---|---|---|" + "---|" * len(HTML_PARSERS))
    for label, (markup, expected) in _HTML_CASES.items():
        cells = [extract_html_text(markup).text]
        for parse in HTML_PARSERS.values():
            try:
                cells.append(extract_html_text(parse(markup)).text)
            except ImportError:
                cells.append("not installed")
        found = ["same" if cell.split() == expected.split() else f"`{cell!r}`" for cell in cells]
        print(f"| {label} | `{expected}` | " + " | ".join(found) + " |")


# PDF


def print_pdf(documents: Path) -> None:
    available = {name: read for name, read in PDF_READERS.items() if _is_available(name)}
    print("| word agreement | " + " | ".join(available) + " |")
    print("|---|" + "---|" * len(available))
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "page.pdf"
        for label, (content, expected) in _pdf_cases().items():
            file.write_bytes(content)
            scores = [f"{_word_agreement(expected, read(file)):.3f}" for read in available.values()]
            print(f"| {label} | " + " | ".join(scores) + " |", flush=True)
    _print_pdf_speed(documents, available)


def _is_available(reader: str) -> bool:
    modules = {"pdfminer.six": "pdfminer.high_level", "pdfplumber": "pdfplumber"}
    try:
        import_module(modules.get(reader, "pypdfium2"))
    except ImportError:
        return False
    return True


def _pdf_cases() -> dict[str, tuple[bytes, str]]:
    words = [f"word{n} of the sentence {n}" for n in range(60)]
    left, right = words[:30], words[30:]
    columns = [
        TextLine(x, 700 - 13 * row, line)
        for x, lines in ((60, left), (320, right))
        for row, line in enumerate(lines)
    ]
    by_line = sorted(columns, key=lambda line: (-line.y, line.x))
    rows = [(f"Part {n}", str(3 * n), f"{n * 1.35:.2f}") for n in range(20)]
    cells = [
        TextLine(60 + 150 * column, 700 - 15 * row, values[column])
        for column in range(3)
        for row, values in enumerate(rows)
    ]
    prose = "\n".join(words)
    return {
        "two columns, drawn one after the other": (build_pdf(columns), prose),
        "two columns, drawn line by line": (build_pdf(by_line), prose),
        "a table, drawn column by column": (build_pdf(cells), "\n".join(map(" ".join, rows))),
        "a page rotated by 90 degrees": (build_pdf(by_line, rotate=90), prose),
    }


def _print_pdf_speed(documents: Path, readers: dict[str, Reader]) -> None:
    import pypdfium2

    files = [
        file
        for file in sorted(documents.glob("*.pdf"))
        if len(_read_pdfium(file).split()) > len(pypdfium2.PdfDocument(file))
    ]
    pages = sum(len(pypdfium2.PdfDocument(file)) for file in files)
    print(f"\n| {len(files)} files with text, {pages} pages | pages per CPU second |")
    print("|---|---|")
    for name, read in readers.items():
        try:
            milliseconds = min(_measure_call(_read_all, read, files) for _ in range(2))
        except Exception as error:  # noqa: BLE001 - any error is a result
            print(f"| {name} | {type(error).__name__} |")
            continue
        print(f"| {name} | {pages / milliseconds * 1000:,.1f} |", flush=True)


def _read_all(read: Reader, files: list[Path]) -> None:
    for file in files:
        read(file)


def _measure(
    call: Callable[[Any], Any], argument: Any, repeats: int = REPEATS
) -> tuple[Any, float]:
    """Return the result of *call* and the CPU milliseconds of the fastest of *repeats* runs."""
    milliseconds = []
    for _ in range(repeats):
        started = time.process_time()
        result = call(argument)
        milliseconds.append((time.process_time() - started) * 1000)
    return result, min(milliseconds)


def _measure_or_error(call: Callable[[str], Any], argument: str) -> str:
    try:
        return f"{_measure(call, argument, repeats=1)[1]:,.0f}"
    except Exception as error:  # noqa: BLE001 - any error is a result
        return type(error).__name__


def _word_agreement(text: str, other: str) -> float:
    return SequenceMatcher(None, text.split(), other.split(), False).ratio()


if __name__ == "__main__":
    main()
