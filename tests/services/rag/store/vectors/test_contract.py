"""Contract of all vector stores, tested with real ones."""

import numpy as np
import pytest

from backend.services.rag.store.vectors import StoredVector


def unit_vector(*numbers):
    vector = np.zeros(384, np.float32)
    vector[: len(numbers)] = numbers
    return vector / np.linalg.norm(vector)


EAST, NORTH, NORTH_EAST = unit_vector(1), unit_vector(0, 1), unit_vector(1, 1)


@pytest.fixture
def filled_store(store):
    store.add_vectors("col_one", "doc_a", 1, ["a0", "a1"], np.array([EAST, NORTH]))
    store.add_vectors("col_one", "doc_b", 1, ["b0"], np.array([NORTH_EAST]))
    store.add_vectors("col_two", "doc_c", 1, ["c0"], np.array([EAST]))
    return store


def test_search_returns_nearest_vectors_with_cosines(filled_store):
    hits = filled_store.search_nearest("col_one", EAST, 2)

    assert list(hits) == ["a0", "b0"]
    assert hits == pytest.approx({"a0": 1.0, "b0": 0.7071}, abs=1e-3)


def test_search_is_limited_to_one_partition(filled_store):
    assert set(filled_store.search_nearest("col_two", EAST, 10)) == {"c0"}
    assert filled_store.search_nearest("col_none", EAST, 10) == {}


def test_search_is_restricted_to_given_documents(filled_store):
    assert set(filled_store.search_nearest("col_one", EAST, 10, ["doc_b"])) == {"b0"}
    assert filled_store.search_nearest("col_one", EAST, 10, []) == {}


def test_search_accepts_a_thousand_document_ids(filled_store):
    ids = [f"doc_{n}" for n in range(1000)]

    assert set(filled_store.search_nearest("col_one", EAST, 10, [*ids, "doc_a"])) == {"a0", "a1"}


def test_delete_document_keeps_the_given_generation(filled_store):
    filled_store.add_vectors("col_one", "doc_a", 2, ["new"], np.array([EAST]))

    filled_store.delete_document("col_one", "doc_a", keep_generation=2)

    assert set(filled_store.search_nearest("col_one", EAST, 10)) == {"new", "b0"}
    filled_store.delete_document("col_one", "doc_a")
    assert set(filled_store.search_nearest("col_one", EAST, 10)) == {"b0"}


def test_fetched_vectors_equal_the_stored_ones(filled_store):
    vectors = filled_store.fetch_vectors("col_one", ["a1", "b0", "nothing"])

    assert set(vectors) == {"a1", "b0"}
    assert vectors["a1"] == pytest.approx(NORTH, abs=1e-6)
    assert vectors["b0"] == pytest.approx(NORTH_EAST, abs=1e-6)
    assert filled_store.fetch_vectors("col_none", ["a1"]) == {}


def test_deleting_missing_partition_or_document_does_not_fail(filled_store):
    filled_store.drop_partition("col_one")
    filled_store.drop_partition("col_one")
    filled_store.delete_document("col_one", "doc_a")

    assert filled_store.search_nearest("col_one", EAST, 10) == {}


def test_partitions_and_their_vectors_are_listed(filled_store):
    assert sorted(filled_store.list_partitions()) == ["col_one", "col_two"]
    assert sorted(filled_store.iterate_vectors("col_one")) == [
        StoredVector("a0", "doc_a", 1),
        StoredVector("a1", "doc_a", 1),
        StoredVector("b0", "doc_b", 1),
    ]
    assert list(filled_store.iterate_vectors("col_none")) == []


def test_delete_vectors_removes_single_vectors(filled_store):
    filled_store.delete_vectors("col_one", ["a0", "nothing"])

    assert {vector.id for vector in filled_store.iterate_vectors("col_one")} == {"a1", "b0"}


def test_adding_an_existing_id_replaces_its_vector(filled_store):
    filled_store.add_vectors("col_one", "doc_a", 1, ["a0"], np.array([NORTH_EAST]))

    assert filled_store.search_nearest("col_one", NORTH_EAST, 1, ["doc_a"]) == pytest.approx(
        {"a0": 1}, abs=1e-3
    )
    assert len(list(filled_store.iterate_vectors("col_one"))) == 3


def test_partition_dropped_by_another_process_is_created_again(filled_store, second_store):
    assert filled_store.search_nearest("col_two", EAST, 1)

    second_store.drop_partition("col_two")
    assert filled_store.search_nearest("col_two", EAST, 1) == {}
    second_store.add_vectors("col_two", "doc_d", 1, ["d0"], np.array([EAST]))

    assert set(filled_store.search_nearest("col_two", EAST, 1)) == {"d0"}


def test_repeated_searches_see_each_change_of_another_process(filled_store, second_store):
    changes = (
        lambda: None,
        lambda: second_store.add_vectors("col_one", "doc_d", 1, ["d0"], np.array([EAST])),
        lambda: second_store.delete_vectors("col_one", ["a0"]),
        lambda: second_store.delete_document("col_one", "doc_d"),
    )
    found = []
    for change in changes:
        change()
        # The vector server searches a copy of the partition from the second search on.
        found.append([set(filled_store.search_nearest("col_one", EAST, 2)) for _ in range(3)])

    assert found == [
        [{"a0", "b0"}] * 3,
        [{"a0", "d0"}] * 3,
        [{"d0", "b0"}] * 3,
        [{"b0", "a1"}] * 3,
    ]


def test_repeated_searches_are_restricted_to_given_documents(filled_store):
    found = [set(filled_store.search_nearest("col_one", EAST, 10, ["doc_b"])) for _ in range(3)]

    assert found == [{"b0"}] * 3
    assert [filled_store.search_nearest("col_one", EAST, 10, []) for _ in range(3)] == [{}] * 3


def test_partitions_may_differ_in_dimensions(filled_store):
    filled_store.add_vectors("col_wide", "doc_w", 1, ["w0", "w1"], np.eye(2, 700, dtype=np.float32))

    assert filled_store.search_nearest("col_wide", np.eye(1, 700, dtype=np.float32)[0], 1) == {
        "w0": 1.0
    }


def test_vectors_beyond_one_batch_are_all_stored(filled_store):
    vectors = np.random.default_rng(7).normal(size=(300, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = [f"m{n}" for n in range(len(vectors))]

    filled_store.add_vectors("col_many", "doc_m", 1, ids, vectors)

    assert {vector.id for vector in filled_store.iterate_vectors("col_many")} == set(ids)
    assert len(filled_store.search_nearest("col_many", vectors[3], 100)) == 100
    assert next(iter(filled_store.search_nearest("col_many", vectors[3], 1))) == "m3"


def test_check_connection_succeeds_for_running_store(store):
    store.check_connection()
    store.connect()


def test_vectors_survive_a_restart(filled_store, reopen_store):
    assert set(reopen_store().search_nearest("col_two", EAST, 10)) == {"c0"}
