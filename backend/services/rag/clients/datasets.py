"""Read retrieval evaluation data sets in the layout of BEIR and similar collections.

A folder contains corpus.jsonl and queries.jsonl (`_id` or `id`, `title`, `text`), optionally
gzipped, and relevance judgments in qrels/test.tsv or qrels.tsv: query, document and grade, with or
without a header line, or the four columns of TREC.
"""

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from backend.services.rag.errors import InvalidDataset

_JUDGMENT_FILES = ("qrels/test.tsv", "qrels.tsv", "qrels/test.txt", "qrels.txt", "test.tsv")


class CorpusDocument(NamedTuple):
    """A document of the corpus."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """Queries by id, and the grades of judged documents by query id and document id.

    Contains only queries with at least one relevant document: metrics are undefined for others.
    """

    folder: Path
    queries: Mapping[str, str]
    judgments: Mapping[str, Mapping[str, int]]

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    def iterate_documents(self) -> Iterator[CorpusDocument]:
        """Yield the documents of the corpus, each id once. Raises InvalidDataset."""
        seen = set()
        for number, row in _iterate_rows(self.folder, "corpus"):
            document_id = _get_id(row, number)
            if document_id not in seen:
                seen.add(document_id)
                yield CorpusDocument(document_id, _get_text(row, "title"), _get_text(row, "text"))


def read_dataset(folder: Path) -> Dataset:
    """Return the data set in *folder*. The corpus is read later, when it is iterated.

    Raises:
        InvalidDataset: files are missing or malformed, or no query has a relevant document.
    """
    judgments = _read_judgments(folder)
    all_queries = {
        _get_id(row, number): _get_text(row, "text") or _get_text(row, "query")
        for number, row in _iterate_rows(folder, "queries")
    }
    queries = {
        query_id: text
        for query_id, text in all_queries.items()
        if text.strip() and any(grade > 0 for grade in judgments.get(query_id, {}).values())
    }
    if not queries:
        raise InvalidDataset(f"{folder}: no query has a relevant document.")
    return Dataset(folder, queries, judgments)


def _read_judgments(folder: Path) -> dict[str, dict[str, int]]:
    file = next((folder / name for name in _JUDGMENT_FILES if (folder / name).is_file()), None)
    if file is None:
        # Some data sets have judgments only for their development or training split.
        file = next(iter(sorted(folder.glob("qrels/*.tsv"))), None)
    if file is None:
        raise InvalidDataset(f"{folder} contains no qrels.tsv and no qrels/test.tsv.")
    judgments: dict[str, dict[str, int]] = {}
    for number, line in enumerate(file.read_text("utf-8-sig").split("\n"), 1):
        parts = line.split("\t") if "\t" in line else line.split()
        if not parts:
            continue
        try:
            query_id, document_id, grade = parts[0], parts[-2], int(float(parts[-1]))
        except (IndexError, ValueError):
            if number == 1:
                continue  # the header line
            raise InvalidDataset(
                f"{file}, line {number}: expected a query, a document and a grade."
            ) from None
        judgments.setdefault(query_id.strip(), {})[document_id.strip()] = grade
    return judgments


def _iterate_rows(folder: Path, name: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    """Yield line number (from 1) and object for each non-empty line of a JSON Lines file."""
    plain, gzipped = folder / f"{name}.jsonl", folder / f"{name}.jsonl.gz"
    if not plain.is_file() and not gzipped.is_file():
        raise InvalidDataset(f"{folder} contains no {name}.jsonl.")
    with gzip.open(gzipped, "rb") if gzipped.is_file() else plain.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict):
                raise InvalidDataset(f"{folder / name}.jsonl, line {number}: not a JSON object.")
            yield number, row


def _get_id(row: Mapping[str, object], number: int) -> str:
    """Return the id of the row; without one, its line number counted from 0."""
    row_id = next((row[key] for key in ("_id", "id", "doc_id") if row.get(key) is not None), None)
    return str(number - 1 if row_id is None else row_id).strip()


def _get_text(row: Mapping[str, object], key: str) -> str:
    value = row.get(key)
    return value if isinstance(value, str) else ""
