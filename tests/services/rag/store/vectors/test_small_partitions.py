"""Copies of small partitions: when they are made, and that a change discards them."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from backend.services.rag.store.vectors import small_partitions
from backend.services.rag.store.vectors.small_partitions import PartitionCopy, SmallPartitions

ROWS = np.eye(3, dtype=np.float32)
COPY = PartitionCopy(["a0", "a1", "b0"], ["doc_a", "doc_a", "doc_b"], ROWS)


class Reader:
    """Returns COPY, and records which partitions were read."""

    def __init__(self, copy: PartitionCopy | None = COPY) -> None:
        self.copy = copy
        self.read: list[str] = []

    def __call__(self, partition: str, max_vectors: int) -> PartitionCopy | None:
        self.read.append(partition)
        return self.copy


def test_copy_returns_nearest_vectors_first():
    vector = np.array([0.6, 0.8, 0], np.float32)

    assert COPY.search_nearest(vector, 2, None) == pytest.approx({"a1": 0.8, "a0": 0.6})
    assert list(COPY.search_nearest(vector, 2, None)) == ["a1", "a0"]
    assert COPY.search_nearest(vector, 2, ["doc_b", "doc_c"]) == {"b0": 0.0}
    assert COPY.search_nearest(vector, 2, []) == {}


def test_partition_is_copied_once_by_the_second_search():
    reader = Reader()
    partitions = SmallPartitions(reader)

    assert [partitions.find_copy("col") for _ in range(4)] == [None, COPY, COPY, COPY]
    assert reader.read == ["col"]


def test_large_partition_is_read_once():
    reader = Reader(None)
    partitions = SmallPartitions(reader)

    assert [partitions.find_copy("col") for _ in range(4)] == [None] * 4
    assert reader.read == ["col"]


def test_change_discards_the_copy():
    reader = Reader()
    partitions = SmallPartitions(reader)
    for _ in range(2):
        partitions.find_copy("col")

    partitions.forget_partition("col")

    assert [partitions.find_copy("col") for _ in range(2)] == [None, COPY]
    assert reader.read == ["col", "col"]


def test_copy_read_during_a_change_is_not_kept():
    is_reading, is_changed = threading.Event(), threading.Event()

    def read(partition: str, max_vectors: int) -> PartitionCopy:
        is_reading.set()
        assert is_changed.wait(60)
        return COPY

    partitions = SmallPartitions(read)
    partitions.find_copy("col")
    with ThreadPoolExecutor(1) as pool:
        search = pool.submit(partitions.find_copy, "col")
        assert is_reading.wait(60)
        partitions.forget_partition("col")
        is_changed.set()

    assert search.result() == COPY
    assert partitions.find_copy("col") is None


def test_least_recently_searched_copies_are_evicted(monkeypatch):
    monkeypatch.setattr(small_partitions, "_MAX_BYTES", 2 * ROWS.nbytes)
    reader = Reader()
    partitions = SmallPartitions(reader)
    for partition in ("one", "one", "two", "two", "one", "three", "three"):
        partitions.find_copy(partition)

    assert partitions.find_copy("one") == COPY
    assert partitions.find_copy("two") is None
    assert reader.read == ["one", "two", "three"]


def test_partition_with_too_large_vectors_is_not_copied(monkeypatch):
    monkeypatch.setattr(small_partitions, "_MAX_BYTES", ROWS.nbytes - 1)
    reader = Reader()
    partitions = SmallPartitions(reader)

    assert [partitions.find_copy("col") for _ in range(4)] == [None] * 4
    assert reader.read == ["col"]
