"""A stand-in for Telegram and for a server with OpenAI's audio API, as their documents describe.

https://core.telegram.org/bots/api
https://platform.openai.com/docs/api-reference/audio
"""

import json
import re
import threading
from collections import deque

from tests.services.agent.fakes import FakeRequestHandler

RECORDING = b"OggS\x00recording"
SPEECH = b"OggS\x00speech"
KEY = "key-of-the-speech-server"


class FakeServers:
    """Answers as Telegram below `/botTOKEN` and as the speech server below `/v1`.

    `failures` are statuses of the next responses of the speech server, `failure_message` is their
    message. The first transcription waits for `release`.
    """

    def __init__(self) -> None:
        self.url = ""
        self.transcript: object = {"text": "Where is my parcel?"}
        self.recording = RECORDING
        self.failures: deque[int] = deque()
        self.failure_message = "The engine is overloaded."
        self.transcriptions: list[dict[str, bytes]] = []
        self.release = threading.Event()
        self.release.set()
        self.speeches: list[dict[str, object]] = []
        self.sent: list[tuple[str, dict[str, bytes] | dict[str, object]]] = []

    def handle_request(self, handler: FakeRequestHandler) -> None:
        body = handler.read_body()
        path = handler.path.partition("?")[0]
        if path.startswith("/v1/"):
            self._answer_speech(handler, path, body)
        elif path.endswith("/getFile"):
            result = {"file_id": "f1", "file_path": "voice/file_1.oga"}
            handler.send_json(200, {"ok": True, "result": result})
        elif path.startswith("/file/"):
            send_bytes(handler, "application/octet-stream", self.recording)
        else:
            kind = handler.headers.get("Content-Type", "")
            fields = parse_form(body) if kind.startswith("multipart/") else json.loads(body)
            self.sent.append((path.rpartition("/")[2], fields))
            message = {"message_id": 100 + len(self.sent)}
            handler.send_json(200, {"ok": True, "result": message})

    def _answer_speech(self, handler: FakeRequestHandler, path: str, body: bytes) -> None:
        if handler.headers.get("Authorization") != f"Bearer {KEY}":
            handler.send_json(401, {"error": {"message": "Incorrect API key provided."}})
            return
        if path == "/v1/audio/transcriptions":
            self.transcriptions.append(parse_form(body))
            if len(self.transcriptions) == 1:
                self.release.wait(120)
        else:
            self.speeches.append(json.loads(body))
        if self.failures:
            status = self.failures.popleft()
            handler.send_json(status, {"error": {"message": self.failure_message}})
        elif path == "/v1/audio/transcriptions":
            handler.send_json(200, self.transcript)
        else:
            send_bytes(handler, "audio/ogg", SPEECH)


def send_bytes(handler: FakeRequestHandler, content_type: str, content: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", content_type)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def parse_form(body: bytes) -> dict[str, bytes]:
    """Return the values of a multipart form by name."""
    boundary = body.partition(b"\r\n")[0]
    parts = [part.partition(b"\r\n\r\n") for part in body.split(boundary)[1:-1]]
    return {
        re.search(rb'name="([^"]*)"', head)[1].decode(): value.removesuffix(b"\r\n")  # type: ignore[index]
        for head, _, value in parts
    }
