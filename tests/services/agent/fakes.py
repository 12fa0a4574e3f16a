"""Fake servers that the agent calls, and helpers for requests to the agent."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import accumulate
from typing import Any
from urllib.parse import parse_qsl

import numpy as np


class WordEmbedder:
    """Embedder whose similarity is the overlap of words, for tests that need no real model."""

    def encode(self, texts):
        rows = np.zeros((len(texts), 256), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in "".join(c if c.isalnum() else " " for c in text.lower()).split():
                row[sum(word.encode()) * 31 % 256] += 1
            row /= np.linalg.norm(row) or 1
        return rows


@dataclass
class Reply:
    """One response of the scripted model, including failures that occur with real servers.

    Attributes:
        ids: tool call ids; empty for generated ones.
        delay_seconds: time before the response.
        pause_seconds: time between the chunks of a stream.
        timings: speed of the response, as llama.cpp's server reports it in the last chunk.
        disconnects: close the connection in the middle of a stream.
        sends_error_event: send an error event in the middle of a stream.
    """

    text: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    ids: list[str | None] = field(default_factory=list)
    finish_reason: str | None = None
    status: int = 200
    delay_seconds: float = 0.0
    pause_seconds: float = 0.0
    timings: dict[str, float] = field(default_factory=dict)
    disconnects: bool = False
    sends_error_event: bool = False
    reports_usage: bool = True

    @property
    def reason(self) -> str:
        return self.finish_reason or ("tool_calls" if self.calls else "stop")


class ScriptedModel:
    """An OpenAI-compatible server that returns the queued replies in order."""

    protocol = "openai"

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.requests: list[dict[str, Any]] = []
        self.default_reply = Reply(text="There is nothing more to say.")
        self.open_stream_count = 0
        self.client_disconnected = threading.Event()  # before the end of a stream
        self.url = ""

    def queue_replies(self, *replies: Reply) -> None:
        self.replies += replies

    def take_reply(self, request: dict[str, Any]) -> Reply:
        self.requests.append(request)
        return self.replies.pop(0) if self.replies else self.default_reply

    def handle_request(self, handler: "FakeRequestHandler") -> None:
        request = handler.read_json()
        reply = self.take_reply(request)
        time.sleep(reply.delay_seconds)
        if reply.status != 200:
            handler.send_json(reply.status, self.build_error())
        elif request.get("stream"):
            self.open_stream_count += 1
            try:
                self._stream(handler, reply)
            except OSError:
                self.client_disconnected.set()
            finally:
                self.open_stream_count -= 1
        else:
            handler.send_json(200, self._build_completion(reply))

    def build_error(self) -> dict[str, Any]:
        return {"error": {"message": "no", "type": "x", "code": None}}

    def _stream(self, handler: "FakeRequestHandler", reply: Reply) -> None:
        handler.start_chunked("text/event-stream")
        if self.requests[-1].get("return_progress"):
            progress = {"total": 11, "cache": 0, "processed": 11, "time_ms": 1}
            choice = {"index": 0, "delta": {"role": "assistant", "content": None}}
            handler.send_chunk(
                _to_sse(
                    {
                        "choices": [choice | {"finish_reason": None}],
                        "prompt_progress": progress,
                    }
                )
            )
        for delta in self._build_deltas(reply):
            handler.send_chunk(
                _to_sse({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
            )
            time.sleep(reply.pause_seconds)
        if reply.disconnects:
            handler.disconnect()
            return
        if reply.sends_error_event:
            handler.send_chunk(b'data: {"error": {"message": "no", "type": "server_error"}}\n\n')
            handler.end_chunked()
            return
        choice = {"index": 0, "delta": {}, "finish_reason": reply.reason}
        timings = {"timings": reply.timings} if reply.timings else {}
        handler.send_chunk(_to_sse({"choices": [choice]} | timings))
        if reply.reports_usage:
            usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
            handler.send_chunk(_to_sse({"choices": [], "usage": usage}))
        handler.send_chunk(b"data: [DONE]\n\n")
        handler.end_chunked()

    def _build_deltas(self, reply: Reply) -> Iterator[dict[str, Any]]:
        yield {"role": "assistant", "content": ""}
        for position, word in enumerate(reply.text.split()):
            yield {"content": f" {word}" if position else word}
        for index, (name, arguments) in enumerate(reply.calls):
            text = arguments if isinstance(arguments, str) else json.dumps(arguments)
            function = {"name": name, "arguments": text}
            id_ = reply.ids[index] if reply.ids else f"call_{len(self.requests)}_{index}"
            call = {"index": index, "id": id_, "type": "function"}
            yield {"tool_calls": [call | {"function": function}]}

    def _build_completion(self, reply: Reply) -> dict[str, Any]:
        message = {"role": "assistant", "content": reply.text}
        choice = {"index": 0, "message": message, "finish_reason": reply.reason}
        usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
        return {"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage}


def _to_sse(document: dict[str, Any]) -> bytes:
    head = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "scripted"}
    return b"data: " + json.dumps(head | document).encode() + b"\n\n"


@dataclass
class Document:
    """A document of the user with *token*. A form feed in the text separates chunks."""

    id: str
    filename: str
    text: str
    token: str
    collection: str = "default"


class FakeRagService:
    """The endpoints of the rag service that the agent calls; users see only their own documents."""

    def __init__(self) -> None:
        self.documents: list[Document] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.uploads: list[bytes] = []
        self.delay_seconds = 0.0
        self.is_failing = False
        self.degraded: list[str] = []
        # The previous version rejects the field `sentences` of searches.
        self.is_previous_version = False
        self.url = ""

    def add_document(self, text: str, bearer: dict[str, str], **fields: str) -> Document:
        number = len(self.documents) + 1
        document = Document(
            fields.get("id", f"doc_{number:08d}"),
            fields.get("filename", f"paper-{number}.pdf"),
            text,
            bearer["Authorization"],
            fields.get("collection", "default"),
        )
        self.documents.append(document)
        return document

    def handle_request(self, handler: "FakeRequestHandler") -> None:
        path = handler.path.partition("?")[0]
        self.requests.append((handler.path, dict(handler.headers)))
        time.sleep(self.delay_seconds)
        if (handler.command, path) == ("POST", "/documents"):
            self.uploads.append(handler.read_body())
            uploaded = {"id": "doc_uploaded1", "filename": "note.md", "status": "queued"}
            return handler.send_json(202, {"documents": [uploaded]})
        body = handler.read_json() if handler.command == "POST" else {}
        if self.is_failing:
            return handler.send_json(
                500, {"code": "internal_error", "detail": "Something went wrong."}
            )
        collection = body.get("collection")
        documents = [
            document
            for document in self.documents
            if document.token == handler.headers["Authorization"]
            and collection in {None, document.collection}
        ]
        if path.startswith("/collections/"):
            name = path.removeprefix("/collections/")
            if any(document.collection == name for document in documents):
                return handler.send_json(200, {"name": name})
            return handler.send_json(
                404, {"code": "not_found", "detail": "There is no such collection."}
            )
        if path == "/search":
            if self.is_previous_version and "sentences" in body:
                return handler.send_json(
                    422, {"code": "validation_error", "detail": "Unknown field."}
                )
            hits = [_to_search_hit(document) for document in documents][: body["k"]]
            return handler.send_json(
                200, {"results": hits, "degraded": self.degraded, "took_ms": 1}
            )
        if path == "/documents":
            return handler.send_json(200, {"items": [_to_json(document) for document in documents]})
        for document in documents:
            if path == f"/documents/{document.id}":
                return handler.send_json(200, _to_json(document))
            if path == f"/documents/{document.id}/chunks":
                return handler.send_json(200, _to_chunk_page(document, handler.path))
        return handler.send_json(404, {"code": "document_not_found", "detail": "No such document."})


def _to_chunk_page(document: Document, path: str) -> dict[str, Any]:
    """Return the page of chunks that the query parameters in *path* select."""
    parameters = dict(parse_qsl(path.partition("?")[2]))
    first, limit = int(parameters.get("cursor", 0)), int(parameters["limit"])
    hit = _to_search_hit(document)
    texts = document.text.split("\f")
    starts = accumulate((len(text) + 1 for text in texts), initial=CHUNK_START)
    chunks = [
        hit | {"text": text, "start": start, "end": start + len(text)}
        for text, start in zip(texts, starts, strict=False)
    ]
    next_cursor = str(first + limit) if first + limit < len(chunks) else None
    return {"items": chunks[first : first + limit], "next_cursor": next_cursor}


# Offset of the chunk in its document. It is not 0, so that tests notice wrong offsets.
CHUNK_START = 100


def _to_search_hit(document: Document) -> dict[str, Any]:
    return {
        "chunk_id": f"{document.id}-0",
        "document_id": document.id,
        "filename": document.filename,
        "title": document.filename,
        "page": 3,
        "start": CHUNK_START,
        "end": CHUNK_START + len(document.text),
        "text": document.text,
        "score": 0.9,
    }


def _to_json(document: Document) -> dict[str, Any]:
    return {
        "id": document.id,
        "filename": document.filename,
        "title": document.filename,
        "status": "ready",
        "collection": document.collection,
        "chunks": document.text.count("\f") + 1,
    }


class FakeRequestHandler(BaseHTTPRequestHandler):
    """HTTP request handler that passes each request to a fake server."""

    protocol_version = "HTTP/1.1"
    handle_request: Callable[["FakeRequestHandler"], None]

    def do_POST(self) -> None:
        type(self).handle_request(self)

    do_GET = do_POST  # noqa: N815 - the base class looks for this name

    def read_body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def read_json(self) -> dict[str, Any]:
        return json.loads(self.read_body() or b"{}")

    def send_json(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def start_chunked(self, content_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def send_chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def end_chunked(self) -> None:
        self.wfile.write(b"0\r\n\r\n")

    def disconnect(self) -> None:
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def run_server(fake: Any) -> Iterator[Any]:
    """Serve *fake* on a free port of the loopback interface and set its `url`."""
    handler = type(
        "Handler", (FakeRequestHandler,), {"handle_request": staticmethod(fake.handle_request)}
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()


def post_query(client: Any, bearer: dict[str, str], request: str, **fields: Any) -> Any:
    """POST *request* to /query, with further *fields* of the body, and return the response."""
    return client.post("/query", json={"user_request": request, **fields}, headers=bearer)


def parse_events(response: Any) -> list[tuple[str, Any]]:
    """Return the events of a streamed response as pairs of name and data."""
    return [
        (name, data) for _, name, data in parse_numbered_events(response.get_data(as_text=True))
    ]


def parse_numbered_events(text: str) -> list[tuple[int, str, Any]]:
    """Return the events in *text* as (number, name, data). The number is 0 if there is none."""
    events = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if line[:1] not in {"", ":"})
        if lines:
            events.append((int(lines.get("id", 0)), lines["event"], json.loads(lines["data"])))
    return events
