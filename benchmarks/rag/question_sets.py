"""Read question sets in BEIR's layout and compute nDCG of rankings."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple


class QuestionSet(NamedTuple):
    """Documents, questions, and the relevance grades of documents by question."""

    name: str
    documents: dict[str, tuple[str, str]]  # title and text
    questions: dict[str, str]
    grades: dict[str, dict[str, int]]


def read_question_set(folder: Path, name: str) -> QuestionSet:
    """Read the question set *name* in BEIR's layout below *folder*."""
    documents = {
        row["_id"]: (row.get("title", ""), row["text"])
        for row in _read_rows(folder / name, "corpus")
    }
    grades: dict[str, dict[str, int]] = {}
    for line in (folder / name / "qrels.tsv").read_text().splitlines():
        question, document, grade = line.split("\t")
        grades.setdefault(question, {})[document] = int(grade)
    questions = {
        row["_id"]: row["text"]
        for row in _read_rows(folder / name, "queries")
        if row["_id"] in grades
    }
    return QuestionSet(name, documents, questions, grades)


def compute_ndcg(ranking: Iterable[str], grades: Mapping[str, int], depth: int = 10) -> float:
    """Return the normalised discounted cumulative gain of the first *depth* documents."""
    gains = [grades.get(document, 0) for document in list(ranking)[:depth]]
    return _compute_dcg(gains) / _compute_dcg(sorted(grades.values(), reverse=True)[:depth])


def _compute_dcg(gains: Iterable[int]) -> float:
    return sum((2**gain - 1) / math.log2(rank + 2) for rank, gain in enumerate(gains))


def _read_rows(folder: Path, name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
