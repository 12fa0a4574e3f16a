"""Stand-ins for what the agent asks over the network, and the ways in which tests ask it."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

import numpy as np


class WordEmbedder:
    """Texts are alike as far as they share words: enough where the model is not the matter."""

    def encode(self, texts):
        rows = np.zeros((len(texts), 256), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in "".join(c if c.isalnum() else " " for c in text.lower()).split():
                row[sum(word.encode()) * 31 % 256] += 1
            row /= np.linalg.norm(row) or 1
        return rows


@dataclass
class Reply:
    """What the scripted model does next; the faults are those that real servers have."""

    text: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    ids: list[str | None] = field(default_factory=list)
    finish_reason: str | None = None
    status: int = 200
    stall: float = 0.0
    pause: float = 0.0
    break_off: bool = False
    error_midway: bool = False
    usage: bool = True

    @property
    def reason(self) -> str:
        return self.finish_reason or ("tool_calls" if self.calls else "stop")


class ScriptedModel:
    """An OpenAI-compatible server that says what the test told it to, in order."""

    wire = "openai"

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.requests: list[dict[str, Any]] = []
        self.otherwise = Reply(text="There is nothing more to say.")
        self.speaking = 0  # how many streams are being written
        self.left = threading.Event()  # a client closed its connection before the end
        self.url = ""

    def will(self, *replies: Reply) -> None:
        self.replies += replies

    def next(self, request: dict[str, Any]) -> Reply:
        self.requests.append(request)
        return self.replies.pop(0) if self.replies else self.otherwise

    def answer(self, door: "Door") -> None:
        request = door.body()
        reply = self.next(request)
        time.sleep(reply.stall)
        if reply.status != 200:
            door.answer(reply.status, self.error())
        elif request.get("stream"):
            self.speaking += 1
            try:
                self._stream(door, reply)
            except OSError:
                self.left.set()
            finally:
                self.speaking -= 1
        else:
            door.answer(200, self._whole(reply))

    def error(self) -> dict[str, Any]:
        return {"error": {"message": "no", "type": "x", "code": None}}

    def _stream(self, door: "Door", reply: Reply) -> None:
        door.begin("text/event-stream")
        for delta in self._deltas(reply):
            door.chunk(_data({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}))
            time.sleep(reply.pause)
        if reply.break_off:
            door.break_off()
            return
        if reply.error_midway:
            door.chunk(b'data: {"error": {"message": "no", "type": "server_error"}}\n\n')
            door.end()
            return
        choice = {"index": 0, "delta": {}, "finish_reason": reply.reason}
        door.chunk(_data({"choices": [choice]}))
        if reply.usage:
            usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
            door.chunk(_data({"choices": [], "usage": usage}))
        door.chunk(b"data: [DONE]\n\n")
        door.end()

    def _deltas(self, reply: Reply) -> Iterator[dict[str, Any]]:
        yield {"role": "assistant", "content": ""}
        for at, word in enumerate(reply.text.split()):
            yield {"content": f" {word}" if at else word}
        for index, (name, arguments) in enumerate(reply.calls):
            text = arguments if isinstance(arguments, str) else json.dumps(arguments)
            function = {"name": name, "arguments": text}
            id_ = reply.ids[index] if reply.ids else f"call_{len(self.requests)}_{index}"
            call = {"index": index, "id": id_, "type": "function"}
            yield {"tool_calls": [call | {"function": function}]}

    def _whole(self, reply: Reply) -> dict[str, Any]:
        message = {"role": "assistant", "content": reply.text}
        choice = {"index": 0, "message": message, "finish_reason": reply.reason}
        usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
        return {"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage}


def _data(document: dict[str, Any]) -> bytes:
    head = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "scripted"}
    return b"data: " + json.dumps(head | document).encode() + b"\n\n"


@dataclass
class Document:
    """A document of one owner; a form feed parts its passages."""

    id: str
    filename: str
    text: str
    token: str
    collection: str = "default"


class Shelf:
    """The rag service, as far as the agent asks it: everyone sees only their own documents."""

    def __init__(self) -> None:
        self.documents: list[Document] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.uploads: list[bytes] = []
        self.stall = 0.0
        self.broken = False
        self.url = ""

    def hold(self, text: str, bearer: dict[str, str], **more: str) -> Document:
        number = len(self.documents) + 1
        document = Document(
            more.get("id", f"doc_{number:08d}"),
            more.get("filename", f"paper-{number}.pdf"),
            text,
            bearer["Authorization"],
            more.get("collection", "default"),
        )
        self.documents.append(document)
        return document

    def answer(self, door: "Door") -> None:
        path = door.path.partition("?")[0]
        self.requests.append((door.path, dict(door.headers)))
        time.sleep(self.stall)
        if (door.command, path) == ("POST", "/documents"):
            self.uploads.append(door.raw())
            uploaded = {"id": "doc_uploaded1", "filename": "note.md", "status": "queued"}
            return door.answer(202, {"documents": [uploaded]})
        body = door.body() if door.command == "POST" else {}
        if self.broken:
            return door.answer(500, {"code": "internal_error", "detail": "Something went wrong."})
        mine = [each for each in self.documents if each.token == door.headers["Authorization"]]
        wanted = body.get("collection")
        mine = [each for each in mine if wanted in {None, each.collection}]
        if path.startswith("/collections/"):
            name = path.removeprefix("/collections/")
            if any(each.collection == name for each in mine):
                return door.answer(200, {"name": name})
            return door.answer(404, {"code": "not_found", "detail": "There is no such collection."})
        if path == "/search":
            found = [_passage(each) for each in mine][: body["k"]]
            return door.answer(200, {"results": found, "took_ms": 1})
        if path == "/documents":
            return door.answer(200, {"items": [_document(each) for each in mine]})
        for each in mine:
            if path == f"/documents/{each.id}":
                return door.answer(200, _document(each))
            if path == f"/documents/{each.id}/chunks":
                return door.answer(200, _page(each, door.path))
        return door.answer(404, {"code": "document_not_found", "detail": "No such document."})


def _page(document: Document, path: str) -> dict[str, Any]:
    """The chunks of *document* from behind the cursor in *path*, as many as it asks for."""
    asked = dict(parse_qsl(path.partition("?")[2]))
    first, limit = int(asked.get("cursor", 0)), int(asked["limit"])
    passage = _passage(document)
    chunks = [passage | {"text": text} for text in document.text.split("\f")]
    more = str(first + limit) if first + limit < len(chunks) else None
    return {"items": chunks[first : first + limit], "next_cursor": more}


# The passage begins within the document, as most do.
BEFORE = 100


def _passage(document: Document) -> dict[str, Any]:
    return {
        "chunk_id": f"{document.id}-0",
        "document_id": document.id,
        "filename": document.filename,
        "title": document.filename,
        "page": 3,
        "start": BEFORE,
        "end": BEFORE + len(document.text),
        "text": document.text,
        "score": 0.9,
    }


def _document(document: Document) -> dict[str, Any]:
    return {
        "id": document.id,
        "filename": document.filename,
        "title": document.filename,
        "status": "ready",
        "collection": document.collection,
        "chunks": document.text.count("\f") + 1,
    }


class Door(BaseHTTPRequestHandler):
    """One request to a stand-in."""

    protocol_version = "HTTP/1.1"
    answerer: Callable[["Door"], None]

    def do_POST(self) -> None:
        type(self).answerer(self)

    do_GET = do_POST  # noqa: N815 - the base class looks for this name

    def raw(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def body(self) -> dict[str, Any]:
        return json.loads(self.raw() or b"{}")

    def answer(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def begin(self, content_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def end(self) -> None:
        self.wfile.write(b"0\r\n\r\n")

    def break_off(self) -> None:
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(stand_in: Any) -> Iterator[Any]:
    """*stand_in* on a free port of loopback; its `url` says where."""
    door = type("ItsDoor", (Door,), {"answerer": staticmethod(stand_in.answer)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), door)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    stand_in.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield stand_in
    finally:
        server.shutdown()
        server.server_close()


def ask(client: Any, bearer: dict[str, str], request: str, **more: Any) -> Any:
    """The answer to *request*."""
    return client.post("/query", json={"user_request": request, **more}, headers=bearer)


def events(response: Any) -> list[tuple[str, Any]]:
    """The events of a stream, as pairs of name and data."""
    return [(name, data) for _, name, data in numbered(response.get_data(as_text=True))]


def numbered(text: str) -> list[tuple[int, str, Any]]:
    """The events in *text*, as number, name and data; 0 for one without a number."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if line[:1] not in {"", ":"})
        if lines:
            found.append((int(lines.get("id", 0)), lines["event"], json.loads(lines["data"])))
    return found
