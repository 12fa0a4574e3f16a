"""Read the shared test collections and judge rankings by them."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple


class Benchmark(NamedTuple):
    """Documents, questions, and which documents answer which question how well."""

    name: str
    documents: dict[str, tuple[str, str]]  # title and text
    questions: dict[str, str]
    grades: dict[str, dict[str, int]]


def read(folder: Path, name: str) -> Benchmark:
    """The collection *name* in BEIR's layout under *folder*."""
    documents = {
        row["_id"]: (row.get("title", ""), row["text"]) for row in _rows(folder / name, "corpus")
    }
    grades: dict[str, dict[str, int]] = {}
    for line in (folder / name / "qrels.tsv").read_text().splitlines():
        question, document, grade = line.split("\t")
        grades.setdefault(question, {})[document] = int(grade)
    questions = {
        row["_id"]: row["text"] for row in _rows(folder / name, "queries") if row["_id"] in grades
    }
    return Benchmark(name, documents, questions, grades)


def ndcg(ranking: Iterable[str], grades: Mapping[str, int], depth: int = 10) -> float:
    """Normalised discounted cumulative gain of the first *depth*."""
    gains = [grades.get(document, 0) for document in list(ranking)[:depth]]
    return _dcg(gains) / _dcg(sorted(grades.values(), reverse=True)[:depth])


def _dcg(gains: Iterable[int]) -> float:
    return sum((2**gain - 1) / math.log2(place + 2) for place, gain in enumerate(gains))


def _rows(folder: Path, name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
