"""Search during outages of the Chroma server."""

import pytest

from backend.services.rag.store.vectors.factory import VectorStoreSettings
from backend.services.rag.store.vectors.socket_store import SocketVectorStore
from tests import servers
from tests.services.rag.conftest import ApiUser, stop_app

FERRIES = "Ferries leave the northern quay at dawn."


@pytest.fixture
def start_with_chroma(start_app, identities, tmp_path):
    def start(url):
        app = start_app(
            identities, vectors=VectorStoreSettings("chroma", tmp_path / "elsewhere", url=url)
        )
        return ApiUser(app, identities.bearer("user-ada"))

    return start


@pytest.fixture(autouse=True)
def short_timeouts(monkeypatch):
    monkeypatch.setattr("backend.services.rag.store.vectors.chroma_clients._QUERY_SECONDS", 0.5)
    monkeypatch.setattr(
        "backend.services.rag.domain.search.dense_index._FAILURE_PAUSE_SECONDS", 0.1
    )


def search_dense(ada):
    return ada("POST", "/search", json={"query": "boats in the morning", "mode": "dense"})


def test_keyword_search_works_during_chroma_outage_and_dense_search_after_it(
    start_with_chroma, tmp_path
):
    folder, port = tmp_path / "server", servers.free_port()
    folder.mkdir()
    with servers.chroma(folder, port) as chroma:
        ada = start_with_chroma(chroma.url)
        ada.upload(FERRIES)
        assert search_dense(ada).json["results"][0]["text"] == FERRIES

        chroma.end()

        response = search_dense(ada)
        assert (response.status_code, response.json["code"]) == (503, "vectors_unavailable")
        assert response.headers["Retry-After"]
        assert ada.search("northern quay")[0]["text"] == FERRIES
        assert ada.ask("Where do ferries leave?")["citations"]
        readiness = ada("GET", "/health/ready")
        assert (readiness.status_code, "vectors" in readiness.json["detail"]) == (503, True)
    with servers.chroma(folder, port):
        servers.wait_until(lambda: search_dense(ada).status_code == 200)
        assert search_dense(ada).json["results"][0]["text"] == FERRIES
        assert ada("GET", "/health/ready").status_code == 200


def test_hanging_chroma_server_does_not_block_searches(start_with_chroma, tmp_path):
    with servers.chroma(tmp_path) as chroma:
        ada = start_with_chroma(chroma.url)
        ada.upload(FERRIES)

        chroma.freeze()

        assert search_dense(ada).status_code == 503
        assert ada.search("northern quay")[0]["text"] == FERRIES
        chroma.thaw()
        servers.wait_until(lambda: search_dense(ada).status_code == 200)


@pytest.mark.slow
def test_chroma_server_serves_a_folder_filled_by_embedded_chroma(
    start_app, identities, start_with_chroma, tmp_path
):
    app = start_app(identities)
    ApiUser(app, identities.bearer("user-ada")).upload(FERRIES)
    stop_app(app)

    with servers.chroma(tmp_path / "rag") as chroma:
        assert search_dense(start_with_chroma(chroma.url)).json["results"][0]["text"] == FERRIES


def test_embedded_chroma_connects_to_the_server_that_uses_its_folder(
    start_app, identities, tmp_path
):
    (tmp_path / "rag").mkdir()
    with servers.chroma(tmp_path / "rag"):
        ada = ApiUser(start_app(identities), identities.bearer("user-ada"))  # without CHROMA_URL

        ada.upload(FERRIES)

        assert search_dense(ada).json["results"][0]["text"] == FERRIES


def test_lost_collection_is_reported_and_embedded_again(start_with_chroma, tmp_path, capfd):
    with servers.vector_server(tmp_path / "vectors") as socket_path:
        ada = start_with_chroma(f"unix:{socket_path}")
        ada.upload(FERRIES)
        store = SocketVectorStore(socket_path)
        for partition in store.list_partitions():
            store.drop_partition(partition)
        store.close()

        response = search_dense(ada)

        assert (response.status_code, response.json["code"]) == (503, "vectors_unavailable")
        assert "are missing; documents to embed again: 1" in capfd.readouterr().err
        assert ada.search("northern quay")[0]["text"] == FERRIES
        servers.wait_until(lambda: search_dense(ada).status_code == 200)
        assert search_dense(ada).json["results"][0]["text"] == FERRIES


def test_empty_collection_is_not_reported_as_lost(start_with_chroma, tmp_path):
    with servers.vector_server(tmp_path / "vectors") as socket_path:
        ada = start_with_chroma(f"unix:{socket_path}")
        ada("POST", "/collections", json={"name": "empty"})

        assert search_dense(ada).json["results"] == []
