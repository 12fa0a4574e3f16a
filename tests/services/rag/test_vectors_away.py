"""A Chroma server that ends, hangs and comes back, under a library that goes on."""

import pytest

from backend.services.rag.store.vectors.opening import Place
from tests import servers
from tests.services.rag.conftest import Person, stop

FERRIES = "Ferries leave the northern quay at dawn."


@pytest.fixture
def ada_on(start, identities, tmp_path):
    def library(url):
        app = start(identities, vectors=Place("chroma", tmp_path / "elsewhere", url=url))
        return Person(app, identities.bearer("user-ada"))

    return library


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr("backend.services.rag.store.vectors.chroma_clients._QUERY_SECONDS", 0.5)
    monkeypatch.setattr("backend.services.rag.domain.dense._REST_SECONDS", 0.1)


def by_meaning(ada):
    return ada("POST", "/search", json={"query": "boats in the morning", "mode": "dense"})


def test_words_find_while_the_vectors_are_away_and_meaning_when_they_are_back(ada_on, tmp_path):
    folder, port = tmp_path / "server", servers.free_port()
    folder.mkdir()
    with servers.chroma(folder, port) as chroma:
        ada = ada_on(chroma.url)
        ada.upload(FERRIES)
        assert by_meaning(ada).json["results"][0]["text"] == FERRIES

        chroma.end()

        refused = by_meaning(ada)
        assert (refused.status_code, refused.json["code"]) == (503, "vectors_unavailable")
        assert refused.headers["Retry-After"]
        assert ada.search("northern quay")[0]["text"] == FERRIES
        assert ada.ask("Where do ferries leave?")["citations"]
        unready = ada("GET", "/health/ready")
        assert (unready.status_code, "vectors" in unready.json["detail"]) == (503, True)
    with servers.chroma(folder, port):
        servers.wait_until(lambda: by_meaning(ada).status_code == 200)
        assert by_meaning(ada).json["results"][0]["text"] == FERRIES
        assert ada("GET", "/health/ready").status_code == 200


def test_a_server_that_hangs_holds_nobody_up(ada_on, tmp_path):
    with servers.chroma(tmp_path) as chroma:
        ada = ada_on(chroma.url)
        ada.upload(FERRIES)

        chroma.freeze()

        assert by_meaning(ada).status_code == 503
        assert ada.search("northern quay")[0]["text"] == FERRIES
        chroma.thaw()
        servers.wait_until(lambda: by_meaning(ada).status_code == 200)


@pytest.mark.slow
def test_a_folder_that_was_filled_without_a_server_goes_on_under_one(
    start, identities, ada_on, tmp_path
):
    app = start(identities)
    Person(app, identities.bearer("user-ada")).upload(FERRIES)
    stop(app)

    with servers.chroma(tmp_path / "rag") as chroma:
        assert by_meaning(ada_on(chroma.url)).json["results"][0]["text"] == FERRIES


def test_a_folder_is_worked_in_by_one_process_and_others_ask_that(start, identities, tmp_path):
    (tmp_path / "rag").mkdir()
    with servers.chroma(tmp_path / "rag"):
        ada = Person(start(identities), identities.bearer("user-ada"))  # is told no URL

        ada.upload(FERRIES)

        assert by_meaning(ada).json["results"][0]["text"] == FERRIES
