"""The vector index on real Chroma."""

import numpy as np
import pytest

from backend.services.rag.store.vectors import VectorIndex


@pytest.fixture
def index(tmp_path):
    return VectorIndex(tmp_path)


def unit(*numbers):
    row = np.zeros(384, np.float32)
    row[: len(numbers)] = numbers
    return row / np.linalg.norm(row)


EAST, NORTH, BETWEEN = unit(1), unit(0, 1), unit(1, 1)


@pytest.fixture
def filled(index):
    index.add("col_one", "doc_a", 1, ["a0", "a1"], np.array([EAST, NORTH]))
    index.add("col_one", "doc_b", 1, ["b0"], np.array([BETWEEN]))
    index.add("col_two", "doc_c", 1, ["c0"], np.array([EAST]))
    return index


def test_the_nearest_come_with_their_cosines(filled):
    found = filled.nearest("col_one", EAST, 2)

    assert list(found) == ["a0", "b0"]
    assert found == pytest.approx({"a0": 1.0, "b0": 0.7071}, abs=1e-3)


def test_a_collection_knows_nothing_of_another(filled):
    assert set(filled.nearest("col_two", EAST, 10)) == {"c0"}
    assert filled.nearest("col_none", EAST, 10) == {}


def test_only_named_documents_are_looked_in(filled):
    assert set(filled.nearest("col_one", EAST, 10, ["doc_b"])) == {"b0"}
    assert filled.nearest("col_one", EAST, 10, []) == {}


def test_a_thousand_documents_may_be_named(filled):
    names = [f"doc_{n}" for n in range(1000)]

    assert set(filled.nearest("col_one", EAST, 10, [*names, "doc_a"])) == {"a0", "a1"}


def test_a_document_is_forgotten_all_but_one_generation(filled):
    filled.add("col_one", "doc_a", 2, ["new"], np.array([EAST]))

    filled.forget("col_one", "doc_a", but_generation=2)

    assert set(filled.nearest("col_one", EAST, 10)) == {"new", "b0"}
    filled.forget("col_one", "doc_a")
    assert set(filled.nearest("col_one", EAST, 10)) == {"b0"}


def test_what_is_not_there_is_dropped_without_complaint(filled):
    filled.drop("col_one")
    filled.drop("col_one")
    filled.forget("col_one", "doc_a")

    assert filled.nearest("col_one", EAST, 10) == {}


def test_it_remembers(filled, tmp_path):
    assert set(VectorIndex(tmp_path).nearest("col_two", EAST, 10)) == {"c0"}
