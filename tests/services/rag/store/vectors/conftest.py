"""Fixtures with an empty vector store of each kind."""

import pytest

from backend.chassis.settings import Secret
from backend.services.rag.store.vectors.factory import VectorStoreSettings, open_vector_store
from tests import servers

KEY = "key that the vector server shares"


@pytest.fixture(scope="module")
def chroma(tmp_path_factory):
    with servers.chroma(tmp_path_factory.mktemp("chroma")) as server:
        yield server


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    with servers.vector_server(tmp_path_factory.mktemp("server") / "vectors") as socket_path:
        yield socket_path


@pytest.fixture(scope="module")
def vectors_with_port(tmp_path_factory):
    folder = tmp_path_factory.mktemp("port") / "vectors"
    with servers.vector_server_with_port(folder, KEY) as url:
        yield url


@pytest.fixture(
    scope="module",
    params=[
        "chroma",
        "chroma server",
        "vector server",
        # The requests of "vector server" on a port, which test_vector_server.py tests.
        pytest.param("vector server with port", marks=pytest.mark.slow),
        pytest.param("pgvector", marks=pytest.mark.postgres),
        "qdrant",
    ],
)
def store_settings(request, tmp_path_factory):
    """Settings of one kind of store. Two stores opened with them share their data."""
    folder = tmp_path_factory.mktemp("vectors")
    if request.param == "chroma server":
        return VectorStoreSettings("chroma", folder, url=request.getfixturevalue("chroma").url)
    if request.param == "vector server":
        return VectorStoreSettings(
            "chroma", folder, url=f"unix:{request.getfixturevalue('vectors')}"
        )
    if request.param == "vector server with port":
        url = request.getfixturevalue("vectors_with_port")
        return VectorStoreSettings("chroma", folder, url=url, api_key=Secret(KEY))
    if request.param == "pgvector":
        return VectorStoreSettings(
            "pgvector", folder, url=request.getfixturevalue("postgres").database(vectors=True)
        )
    return VectorStoreSettings(request.param, folder / "vectors")


@pytest.fixture(scope="module")
def open_store(store_settings):
    store = open_vector_store(store_settings)
    yield store
    store.close()


@pytest.fixture
def store(open_store):
    """An empty store."""
    yield open_store
    for partition in open_store.list_partitions():
        open_store.drop_partition(partition)


@pytest.fixture
def second_store(open_store, store_settings):
    """A second store with the same data, as another process would open it."""
    if store_settings.kind == "qdrant":  # its folder can be used by one process only
        yield open_store
        return
    store = open_vector_store(store_settings)
    yield store
    store.close()


@pytest.fixture
def reopen_store(open_store, store_settings):
    """Return a function that closes the store and opens it again, as after a restart."""
    reopened = []

    def reopen():
        open_store.close()
        reopened.append(open_vector_store(store_settings))
        return reopened[0]

    yield reopen
    for store in reopened:
        store.close()
