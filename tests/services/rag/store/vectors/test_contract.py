"""What every vector store keeps to, each for real."""

import numpy as np
import pytest

from backend.services.rag.store.vectors import Stored


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


def test_vectors_are_fetched_as_they_were_kept(filled):
    found = filled.fetch("col_one", ["a1", "b0", "nothing"])

    assert set(found) == {"a1", "b0"}
    assert found["a1"] == pytest.approx(NORTH, abs=1e-6)
    assert found["b0"] == pytest.approx(BETWEEN, abs=1e-6)
    assert filled.fetch("col_none", ["a1"]) == {}


def test_what_is_not_there_is_dropped_without_complaint(filled):
    filled.drop("col_one")
    filled.drop("col_one")
    filled.forget("col_one", "doc_a")

    assert filled.nearest("col_one", EAST, 10) == {}


def test_what_is_stored_can_be_counted_up(filled):
    assert sorted(filled.partitions()) == ["col_one", "col_two"]
    assert sorted(filled.stored("col_one")) == [
        Stored("a0", "doc_a", 1),
        Stored("a1", "doc_a", 1),
        Stored("b0", "doc_b", 1),
    ]
    assert list(filled.stored("col_none")) == []


def test_single_vectors_are_removed(filled):
    filled.remove("col_one", ["a0", "nothing"])

    assert {each.id for each in filled.stored("col_one")} == {"a1", "b0"}


def test_the_same_id_is_kept_once_with_the_last_vector(filled):
    filled.add("col_one", "doc_a", 1, ["a0"], np.array([BETWEEN]))

    assert filled.nearest("col_one", BETWEEN, 1, ["doc_a"]) == pytest.approx({"a0": 1}, abs=1e-3)
    assert len(list(filled.stored("col_one"))) == 3


def test_a_partition_that_was_dropped_elsewhere_is_made_anew(filled, another):
    assert filled.nearest("col_two", EAST, 1)

    another.drop("col_two")
    assert filled.nearest("col_two", EAST, 1) == {}
    another.add("col_two", "doc_d", 1, ["d0"], np.array([EAST]))

    assert set(filled.nearest("col_two", EAST, 1)) == {"d0"}


def test_partitions_may_differ_in_width(filled):
    filled.add("col_wide", "doc_w", 1, ["w0", "w1"], np.eye(2, 700, dtype=np.float32))

    assert filled.nearest("col_wide", np.eye(1, 700, dtype=np.float32)[0], 1) == {"w0": 1.0}


def test_more_vectors_than_fit_one_request_all_arrive(filled):
    rows = np.random.default_rng(7).normal(size=(300, 384)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    ids = [f"m{n}" for n in range(len(rows))]

    filled.add("col_many", "doc_m", 1, ids, rows)

    assert {each.id for each in filled.stored("col_many")} == set(ids)
    assert len(filled.nearest("col_many", rows[3], 100)) == 100
    assert next(iter(filled.nearest("col_many", rows[3], 1))) == "m3"


def test_an_answering_store_passes_its_check(index):
    index.check()


def test_it_remembers(filled, reopened):
    assert set(reopened().nearest("col_two", EAST, 10)) == {"c0"}
