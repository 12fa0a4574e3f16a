"""Search during outages of the Chroma server."""

import json
import time

import pytest
from sqlalchemy.exc import OperationalError

from backend.chassis.web.app_factory import get_component
from backend.security import Permission
from backend.services.rag.store.vectors.addresses import UnixAddress
from backend.services.rag.store.vectors.factory import VectorStoreSettings, find_missing_extra
from backend.services.rag.store.vectors.socket_store import SocketVectorStore
from backend.services.rag.wiring import RagComponents
from tests import servers
from tests.services.rag.conftest import ApiUser, stop_app

FERRIES = "Ferries leave the northern quay at dawn."
UNREACHABLE_URLS = {
    "chroma server": "http://127.0.0.1:{port}",
    "chroma socket": "unix:{folder}/vectors.sock",
    "pgvector": "postgresql+psycopg://user:password@127.0.0.1:{port}/vectors",
    "qdrant": "http://127.0.0.1:{port}",
}


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


def get_dependencies(app, identities):
    """Return the status of each dependency in the detailed health of *app*."""
    headers = identities.bearer(permissions=[Permission.SYSTEM_READ])
    detailed = app.test_client().get("/health/detailed", headers=headers).json
    statuses = {name: health["status"] for name, health in detailed["dependencies"].items()}
    return detailed["status"], statuses


def search(user, query, **options):
    """Return the body of a successful search."""
    response = user("POST", "/search", json={"query": query, **options})
    assert response.status_code == 200, response.text
    return response.json


def test_keyword_search_works_during_chroma_outage_and_dense_search_after_it(
    start_with_chroma, tmp_path
):
    folder, port = tmp_path / "server", servers.free_port()
    folder.mkdir()
    with servers.chroma(folder, port) as chroma:
        ada = start_with_chroma(chroma.url)
        ada.upload(FERRIES)
        assert search_dense(ada).json["results"][0]["text"] == FERRIES
        assert search(ada, "northern quay")["degraded"] == []

        chroma.end()

        response = search_dense(ada)
        assert (response.status_code, response.json["code"]) == (503, "vectors_unavailable")
        assert int(response.headers["Retry-After"]) > 0
        hybrid = search(ada, "northern quay")
        assert (hybrid["results"][0]["text"], hybrid["degraded"]) == (FERRIES, ["vectors"])
        assert search(ada, "northern quay", mode="keyword")["degraded"] == []
    with servers.chroma(folder, port):
        servers.wait_until(lambda: search_dense(ada).status_code == 200)
        assert search_dense(ada).json["results"][0]["text"] == FERRIES
        assert search(ada, "northern quay")["degraded"] == []


def test_answer_during_outage_cites_keyword_hits_and_is_marked_degraded(
    start_with_chroma, tmp_path
):
    question = "Where do ferries leave?"
    with servers.chroma(tmp_path) as chroma:
        ada = start_with_chroma(chroma.url)
        ada.upload(FERRIES)
        assert ada.ask(question)["degraded"] == []

        chroma.end()

        answer = ada.ask(question)
        assert [citation["quote"] for citation in answer["citations"]] == [FERRIES]
        assert answer["degraded"] == ["vectors"]
        stream = ada("POST", "/query", json={"query": question, "stream": True})
        event, data = stream.text.strip().split("\n\n")[-1].split("\n")
        assert event == "event: done"
        assert json.loads(data.removeprefix("data: "))["degraded"] == ["vectors"]
        dense = ada("POST", "/query", json={"query": question, "mode": "dense"})
        assert (dense.status_code, dense.json["code"]) == (503, "vectors_unavailable")
        assert int(dense.headers["Retry-After"]) > 0


@pytest.mark.slow
@pytest.mark.parametrize("store", UNREACHABLE_URLS)
def test_service_starts_and_is_ready_while_the_vector_store_is_unreachable(
    start_app, identities, tmp_path, store
):
    kind = store.partition(" ")[0]
    if find_missing_extra(kind):
        pytest.skip(f"the extra {kind} is not installed")
    url = UNREACHABLE_URLS[store].format(port=servers.free_port(), folder=tmp_path)
    app = start_app(identities, vectors=VectorStoreSettings(kind, tmp_path / "elsewhere", url))
    ada = ApiUser(app, identities.bearer("user-ada"))

    assert ada("GET", "/health/ready").status_code == 200

    status, dependencies = get_dependencies(app, identities)
    assert (status, dependencies["vectors"]) == ("degraded", "unhealthy")
    assert dependencies["database"] == "healthy"
    ada("POST", "/collections", json={"name": "harbour"})
    assert search(ada, "northern quay")["degraded"] == ["vectors"]
    assert search_dense(ada).status_code == 503


def test_service_is_not_ready_without_its_database(start_app, identities, monkeypatch):
    app = start_app(identities)
    database = get_component(app, RagComponents).database

    def fail(*_, **__):
        raise OperationalError("SELECT 1", None, ConnectionError("refused"))

    monkeypatch.setattr(database.engine, "connect", fail)

    readiness = app.test_client().get("/health/ready")
    assert (readiness.status_code, readiness.json["code"]) == (503, "not_ready")
    assert "database" in readiness.json["detail"]


def test_hanging_chroma_server_does_not_block_searches(start_with_chroma, tmp_path):
    with servers.chroma(tmp_path) as chroma:
        ada = start_with_chroma(chroma.url)
        ada.upload(FERRIES)

        chroma.freeze()

        assert search_dense(ada).status_code == 503
        hybrid = search(ada, "northern quay")
        assert (hybrid["results"][0]["text"], hybrid["degraded"]) == (FERRIES, ["vectors"])
        started_at = time.monotonic()
        assert ada("GET", "/health/ready").status_code == 200
        assert time.monotonic() - started_at < 1  # the readiness probe does not wait for Chroma
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


@pytest.mark.slow
def test_embedded_chroma_connects_to_the_server_that_uses_its_folder(
    start_app, identities, tmp_path
):
    (tmp_path / "rag").mkdir()
    with servers.vector_server(tmp_path / "rag" / "vectors"):
        ada = ApiUser(start_app(identities), identities.bearer("user-ada"))  # without CHROMA_URL

        ada.upload(FERRIES)

        assert search_dense(ada).json["results"][0]["text"] == FERRIES


@pytest.mark.slow
def test_lost_collection_is_reported_and_embedded_again(start_with_chroma, tmp_path, capfd):
    with servers.vector_server(tmp_path / "vectors") as socket_path:
        ada = start_with_chroma(f"unix:{socket_path}")
        ada.upload(FERRIES)
        store = SocketVectorStore(UnixAddress(socket_path))
        for partition in store.list_partitions():
            store.drop_partition(partition)
        store.close()

        response = search_dense(ada)

        assert (response.status_code, response.json["code"]) == (503, "vectors_unavailable")
        assert "are missing; documents to embed again: 1" in capfd.readouterr().err
        assert ada.search("northern quay")[0]["text"] == FERRIES
        servers.wait_until(lambda: search_dense(ada).status_code == 200)
        assert search_dense(ada).json["results"][0]["text"] == FERRIES


@pytest.mark.slow
def test_empty_collection_is_not_reported_as_lost(start_with_chroma, tmp_path):
    with servers.vector_server(tmp_path / "vectors") as socket_path:
        ada = start_with_chroma(f"unix:{socket_path}")
        ada("POST", "/collections", json={"name": "empty"})

        assert search_dense(ada).json["results"] == []
