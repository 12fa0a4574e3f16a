"""Each kind of vector store, empty."""

import pytest

from backend.services.rag.store.vectors.opening import Place, open_vectors
from tests import servers


@pytest.fixture(scope="module")
def chroma(tmp_path_factory):
    with servers.chroma(tmp_path_factory.mktemp("chroma")) as server:
        yield server


@pytest.fixture(
    scope="module",
    params=[
        "chroma",
        "chroma server",
        pytest.param("pgvector", marks=pytest.mark.postgres),
        "qdrant",
    ],
)
def place(request, tmp_path_factory):
    """Where a store of some kind lies; two that are opened at one place see the same."""
    folder = tmp_path_factory.mktemp("vectors")
    if request.param == "chroma server":
        return Place("chroma", folder, url=request.getfixturevalue("chroma").url)
    if request.param == "pgvector":
        return Place(
            "pgvector", folder, url=request.getfixturevalue("postgres").database(vectors=True)
        )
    return Place(request.param, folder / "vectors")


@pytest.fixture(scope="module")
def opened(place):
    store = open_vectors(place)
    yield store
    store.close()


@pytest.fixture
def index(opened):
    """An empty store."""
    yield opened
    for partition in opened.partitions():
        opened.drop(partition)


@pytest.fixture
def another(opened, place):
    """A second one at the same place, as another process has it."""
    if place.kind == "qdrant":  # whose folder is for one process
        yield opened
        return
    store = open_vectors(place)
    yield store
    store.close()


@pytest.fixture
def reopened(opened, place):
    """Closes the store and opens another, as after a start."""
    others = []

    def reopen():
        opened.close()
        others.append(open_vectors(place))
        return others[0]

    yield reopen
    for store in others:
        store.close()
