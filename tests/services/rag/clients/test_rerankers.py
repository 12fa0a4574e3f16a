"""Rerankers at an endpoint with the APIs of common servers."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from backend.chassis.settings import Secret
from backend.services.rag.clients.rerankers import RerankSettings, open_reranker
from backend.services.rag.errors import RerankerFailed
from tests.servers import free_port
from tests.services.rag.conftest import ApiUser, build_settings


class RerankServer(ThreadingHTTPServer):
    """Scores texts by their length with the API of Cohere or TEI.

    If `fixed_response` is set, it returns this status and body instead.
    """

    api = "cohere"
    fixed_response: object = None

    def __init__(self):
        super().__init__(("127.0.0.1", 0), RerankHandler)
        self.requests = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class RerankHandler(BaseHTTPRequestHandler):
    server: RerankServer

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, self.headers.get("Authorization"), body))
        status, response = self._build_response(body)
        raw = json.dumps(response).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _build_response(self, body):
        if self.server.fixed_response is not None:
            return self.server.fixed_response
        if self.server.api == "tei":
            if "texts" not in body:
                return 422, {"error": "missing field texts"}
            return 200, [{"index": n, "score": len(t)} for n, t in enumerate(body["texts"])][::-1]
        rows = [{"index": n, "relevance_score": len(t)} for n, t in enumerate(body["documents"])]
        return 200, {"results": rows[::-1]}

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = RerankServer()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("api", ["cohere", "tei"])
def test_scores_are_returned_in_request_order(server, api):
    server.api = api
    reranker = open_reranker(RerankSettings("m", server.url, Secret("key")))

    assert reranker.score_chunks("why?", ["aa", "a", "aaa"]) == [2, 1, 3]
    assert reranker.score_chunks("why?", ["a"]) == [1]

    path, key, body = server.requests[-1]
    assert (path, key, body["query"]) == ("/rerank", "Bearer key", "why?")


@pytest.mark.parametrize(
    "response",
    [
        (500, {}),
        (200, {"results": [{"index": 0, "relevance_score": 1}]}),
        (200, {"results": [{"index": 0}, {"index": 1}]}),
        (200, "scores"),
        (401, {}),
    ],
)
def test_invalid_scores_raise_reranker_failed(server, response):
    server.fixed_response = response

    with pytest.raises(RerankerFailed):
        open_reranker(RerankSettings("m", server.url)).score_chunks("why?", ["a", "b"])


def test_unreachable_endpoint_raises_reranker_failed():
    settings = RerankSettings(url=f"http://127.0.0.1:{free_port()}")

    with pytest.raises(RerankerFailed, match="does not respond"):
        open_reranker(settings).score_chunks("why?", ["a"])


def test_search_is_reranked_and_falls_back_without_the_model(start_app, identities, server):
    app = start_app(identities, reranking=RerankSettings("m", server.url))
    ada = ApiUser(app, identities.bearer("user-ada"))
    ada.upload("The runway.", "short.txt")
    ada.upload("The airfield has a gate, a shed, a shop and much else.", "long.txt")

    def order(**more):
        return [hit["filename"] for hit in ada.search("the runway", **more)]

    assert order() == ["short.txt", "long.txt"]
    assert order(rerank=True) == ["long.txt", "short.txt"]
    server.fixed_response = (500, {})
    assert order(rerank=True) == ["short.txt", "long.txt"]


def test_search_response_reports_a_failed_reranker(start_app, identities, server):
    app = start_app(identities, reranking=RerankSettings("m", server.url))
    ada = ApiUser(app, identities.bearer("user-ada"))
    ada.upload("The runway.")

    def get_degraded(**options):
        response = ada("POST", "/search", json={"query": "the runway", **options})
        return response.json["degraded"]

    assert get_degraded(rerank=True) == []
    server.fixed_response = (500, {})
    assert get_degraded(rerank=True) == ["reranking"]
    assert get_degraded() == []


def test_open_reranker_returns_none_without_model(tmp_path):
    assert open_reranker(build_settings(tmp_path).reranking) is None
