"""Reading of evaluation data sets in their common layouts."""

import gzip
import json

import pytest

from backend.services.rag.clients.datasets import CorpusDocument, read_dataset
from backend.services.rag.errors import InvalidDataset

CORPUS = [
    {"_id": "d1", "title": "One", "text": "first"},
    {"id": 2, "text": "second", "metadata": {}},
    {"title": None, "text": "third, whose id is its line number, 2, which is taken"},
    {"title": None, "text": "fourth"},
]
QUERIES = [{"_id": "q1", "text": "which?"}, {"_id": "q2", "text": "who?"}]


def to_json_lines(rows):
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def write_dataset(folder, qrels, name="qrels.tsv"):
    (folder / "corpus.jsonl").write_text(to_json_lines(CORPUS) + "\n")
    (folder / "queries.jsonl").write_text(to_json_lines(QUERIES))
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(qrels)
    return folder


@pytest.mark.parametrize("name", ["qrels.tsv", "qrels/test.tsv", "qrels/dev.tsv"])
@pytest.mark.parametrize(
    "qrels",
    [
        "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\t2\t0\n",
        "q1\td1\t2\nq1\t2\t0",
        "q1 0 d1 2\r\nq1 0 2 0\r\n",
        "\ufeffq1\td1\t2.0\n\nq1\t2\t0\n",
    ],
    ids=["header line", "no header line", "TREC", "byte order mark"],
)
def test_judgments_are_read_in_all_layouts(tmp_path, name, qrels):
    dataset = read_dataset(write_dataset(tmp_path, qrels, name))

    assert dataset.judgments == {"q1": {"d1": 2, "2": 0}}
    assert dataset.queries == {"q1": "which?"}  # the other query has no judgments


def test_documents_without_title_or_id_are_read(tmp_path):
    dataset = read_dataset(write_dataset(tmp_path, "q1\td1\t1\n"))

    assert list(dataset.iterate_documents()) == [
        CorpusDocument("d1", "One", "first"),
        CorpusDocument("2", "", "second"),
        CorpusDocument("3", "", "fourth"),
    ]


def test_gzipped_corpus_is_read(tmp_path):
    folder = write_dataset(tmp_path, "q1\td1\t1\n")
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress(to_json_lines(CORPUS[:1]).encode()))
    (folder / "corpus.jsonl").unlink()

    assert [document.id for document in read_dataset(folder).iterate_documents()] == ["d1"]


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("corpus.jsonl", "contains no corpus.jsonl"),
        ("queries.jsonl", "contains no queries.jsonl"),
        ("qrels.tsv", "contains no qrels.tsv"),
    ],
)
def test_error_names_the_missing_file(tmp_path, missing, message):
    folder = write_dataset(tmp_path, "q1\td1\t1\n")
    (folder / missing).unlink()

    with pytest.raises(InvalidDataset, match=message):
        list(read_dataset(folder).iterate_documents())


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("qrels.tsv", "q1\td1\t1\nq1\td2\tgood\n", "line 2"),
        ("qrels.tsv", "q1\td1\t0\n", "no query has"),
        ("corpus.jsonl", '{"_id": "a"}\nnone\n', "line 2"),
        ("corpus.jsonl", "[1]\n", "line 1"),
    ],
)
def test_error_names_the_invalid_line(tmp_path, file, content, message):
    folder = write_dataset(tmp_path, "q1\td1\t1\n")
    (folder / file).write_text(content)

    with pytest.raises(InvalidDataset, match=message):
        list(read_dataset(folder).iterate_documents())
