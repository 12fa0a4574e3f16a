"""Reading judged sets in the shapes in which they are found."""

import gzip
import json

import pytest

from backend.services.rag.clients.datasets import Entry, read_dataset
from backend.services.rag.errors import DatasetUnreadable

CORPUS = [
    {"_id": "d1", "title": "One", "text": "first"},
    {"id": 2, "text": "second", "metadata": {}},
    {"title": None, "text": "third, which the number of its line names as well"},
    {"title": None, "text": "fourth"},
]
QUERIES = [{"_id": "q1", "text": "which?"}, {"_id": "q2", "text": "who?"}]


def lines(rows):
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def write(folder, qrels, name="qrels.tsv"):
    (folder / "corpus.jsonl").write_text(lines(CORPUS) + "\n")
    (folder / "queries.jsonl").write_text(lines(QUERIES))
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
    ids=["header", "none", "TREC", "marked"],
)
def test_judgements_are_read_wherever_and_however_they_stand(tmp_path, name, qrels):
    dataset = read_dataset(write(tmp_path, qrels, name))

    assert dataset.grades == {"q1": {"d1": 2, "2": 0}}
    assert dataset.questions == {"q1": "which?"}  # nobody judged anything for the other


def test_documents_may_lack_titles_and_names(tmp_path):
    dataset = read_dataset(write(tmp_path, "q1\td1\t1\n"))

    assert list(dataset.documents()) == [
        Entry("d1", "One", "first"),
        Entry("2", "", "second"),
        Entry("3", "", "fourth"),
    ]


def test_a_packed_corpus_is_read(tmp_path):
    folder = write(tmp_path, "q1\td1\t1\n")
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress(lines(CORPUS[:1]).encode()))
    (folder / "corpus.jsonl").unlink()

    assert [each.id for each in read_dataset(folder).documents()] == ["d1"]


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        ("corpus.jsonl", "holds no corpus.jsonl"),
        ("queries.jsonl", "holds no queries.jsonl"),
        ("qrels.tsv", "holds no qrels.tsv"),
    ],
)
def test_what_is_missing_is_named(tmp_path, missing, says):
    folder = write(tmp_path, "q1\td1\t1\n")
    (folder / missing).unlink()

    with pytest.raises(DatasetUnreadable, match=says):
        list(read_dataset(folder).documents())


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("qrels.tsv", "q1\td1\t1\nq1\td2\tgood\n", "line 2"),
        ("qrels.tsv", "q1\td1\t0\n", "no question has"),
        ("corpus.jsonl", '{"_id": "a"}\nnone\n', "line 2"),
        ("corpus.jsonl", "[1]\n", "line 1"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, file, content, says):
    folder = write(tmp_path, "q1\td1\t1\n")
    (folder / file).write_text(content)

    with pytest.raises(DatasetUnreadable, match=says):
        list(read_dataset(folder).documents())
