"""Reranking models behind an endpoint, as the servers that people run speak."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from backend.chassis.settings import Secret
from backend.services.rag.clients.rerankers import RerankSettings, open_reranker
from backend.services.rag.errors import RerankerFailed
from tests.servers import free_port
from tests.services.rag.conftest import Person, settings_in


class Server(ThreadingHTTPServer):
    """Scores passages by their length, in Cohere's dialect or TEI's, unless told otherwise."""

    dialect = "cohere"
    fault: object = None

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Door)
        self.asked = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Door(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers.get("Authorization"), body))
        status, answer = self._answer(body)
        raw = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _answer(self, body):
        if self.server.fault is not None:
            return self.server.fault
        if self.server.dialect == "tei":
            if "texts" not in body:
                return 422, {"error": "missing field texts"}
            return 200, [{"index": n, "score": len(t)} for n, t in enumerate(body["texts"])][::-1]
        rows = [{"index": n, "relevance_score": len(t)} for n, t in enumerate(body["documents"])]
        return 200, {"results": rows[::-1]}

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("dialect", ["cohere", "tei"])
def test_scores_come_in_the_order_of_the_passages(server, dialect):
    server.dialect = dialect
    reranker = open_reranker(RerankSettings("m", server.url, Secret("key")))

    assert reranker.scores("why?", ["aa", "a", "aaa"]) == [2, 1, 3]
    assert reranker.scores("why?", ["a"]) == [1]

    path, key, body = server.asked[-1]
    assert (path, key, body["query"]) == ("/rerank", "Bearer key", "why?")


@pytest.mark.parametrize(
    "fault",
    [
        (500, {}),
        (200, {"results": [{"index": 0, "relevance_score": 1}]}),
        (200, {"results": [{"index": 0}, {"index": 1}]}),
        (200, "scores"),
        (401, {}),
    ],
)
def test_what_is_no_scores_is_a_failure(server, fault):
    server.fault = fault

    with pytest.raises(RerankerFailed):
        open_reranker(RerankSettings("m", server.url)).scores("why?", ["a", "b"])


def test_a_server_that_is_away_is_a_failure():
    settings = RerankSettings(url=f"http://127.0.0.1:{free_port()}")

    with pytest.raises(RerankerFailed, match="does not answer"):
        open_reranker(settings).scores("why?", ["a"])


def test_a_search_asks_the_model_for_the_order_and_does_without_it(start, identities, server):
    app = start(identities, reranking=RerankSettings("m", server.url))
    ada = Person(app, identities.bearer("user-ada"))
    ada.upload("The runway.", "short.txt")
    ada.upload("The airfield has a gate, a shed, a shop and much else.", "long.txt")

    def order(**more):
        return [each["filename"] for each in ada.search("the runway", **more)]

    assert order() == ["short.txt", "long.txt"]
    assert order(rerank=True) == ["long.txt", "short.txt"]
    server.fault = (500, {})
    assert order(rerank=True) == ["short.txt", "long.txt"]


def test_no_model_is_opened_unless_one_is_named(tmp_path):
    assert open_reranker(settings_in(tmp_path).reranking) is None
