"""Read a set of questions with judged documents, in the layout of BEIR and its relatives.

A folder holds corpus.jsonl and queries.jsonl (`_id` or `id`, `title`, `text`) and judgements in
qrels/test.tsv or qrels.tsv: query, document, grade, with a header line or without, or in the four
columns of TREC.
"""

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from backend.services.rag.errors import DatasetUnreadable

_JUDGEMENTS = ("qrels/test.tsv", "qrels.tsv", "qrels/test.txt", "qrels.txt", "test.tsv")


class Entry(NamedTuple):
    """A document of the set."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """Questions by id, and for each the documents that were judged with their grades.

    Only questions that at least one document answers: the others can't be answered well or ill.
    """

    folder: Path
    questions: Mapping[str, str]
    grades: Mapping[str, Mapping[str, int]]

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    def documents(self) -> Iterator[Entry]:
        seen = set()
        for number, row in _rows(self.folder, "corpus"):
            key = _id(row, number)
            if key not in seen:
                seen.add(key)
                yield Entry(key, _text(row, "title"), _text(row, "text"))


def read_dataset(folder: Path) -> Dataset:
    """The set in *folder*, or DatasetUnreadable. Documents are read when they are asked for."""
    grades = _grades(folder)
    asked = {
        _id(row, number): _text(row, "text") or _text(row, "query")
        for number, row in _rows(folder, "queries")
    }
    questions = {
        key: text
        for key, text in asked.items()
        if text.strip() and any(grade > 0 for grade in grades.get(key, {}).values())
    }
    if not questions:
        raise DatasetUnreadable(f"{folder}: no question has a document that answers it.")
    return Dataset(folder, questions, grades)


def _grades(folder: Path) -> dict[str, dict[str, int]]:
    file = next((folder / name for name in _JUDGEMENTS if (folder / name).is_file()), None)
    if file is None:
        # A set may have been judged for development or training alone.
        file = next(iter(sorted(folder.glob("qrels/*.tsv"))), None)
    if file is None:
        raise DatasetUnreadable(f"{folder} holds no qrels.tsv and no qrels/test.tsv.")
    grades: dict[str, dict[str, int]] = {}
    for number, line in enumerate(file.read_text("utf-8-sig").splitlines(), 1):
        parts = line.split("\t") if "\t" in line else line.split()
        if not parts:
            continue
        try:
            question, document, grade = parts[0], parts[-2], int(float(parts[-1]))
        except (IndexError, ValueError):
            if number == 1:
                continue  # the names of the columns
            raise DatasetUnreadable(
                f"{file}, line {number}: not a query, a document and a grade."
            ) from None
        grades.setdefault(question.strip(), {})[document.strip()] = grade
    return grades


def _rows(folder: Path, name: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    """The objects of a file of JSON lines, each with the number of its line."""
    plain, packed = folder / f"{name}.jsonl", folder / f"{name}.jsonl.gz"
    if not plain.is_file() and not packed.is_file():
        raise DatasetUnreadable(f"{folder} holds no {name}.jsonl.")
    with gzip.open(packed, "rb") if packed.is_file() else plain.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict):
                raise DatasetUnreadable(f"{folder / name}.jsonl, line {number}: no JSON object.")
            yield number, row


def _id(row: Mapping[str, object], number: int) -> str:
    """What the row calls itself; without a name, the number of its line, counted from 0."""
    given = next((row[key] for key in ("_id", "id", "doc_id") if row.get(key) is not None), None)
    return str(number - 1 if given is None else given).strip()


def _text(row: Mapping[str, object], key: str) -> str:
    value = row.get(key)
    return value if isinstance(value, str) else ""
