"""A server with an OpenAI-compatible embeddings API: `python endpoint.py PORT`.

The text `!500` makes it fail, `!busy-once` makes it return status 429 once, and so on. A GET
request returns the requests that it received.
"""

import hashlib
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DIMENSIONS = 8
received = []


def embed_text(text):
    """Return a vector that is similar for texts with common words."""
    row = [0.0] * DIMENSIONS
    for word in text.lower().split() or [""]:
        digest = hashlib.sha256(word.encode()).digest()
        row[digest[0] % DIMENSIONS] += 3.0
    return row


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        received.append({"key": self.headers["Authorization"], "path": self.path, **body})
        texts = body["input"]
        is_repeated = any(item["input"] == texts for item in received[:-1])
        if "!500" in texts:
            return self.respond(500, {"error": "broken"})
        if "!401" in texts:
            return self.respond(401, {"error": "unauthorized"})
        if "!busy-once" in texts and not is_repeated:
            return self.respond(429, {"error": "too many"}, {"Retry-After": "0"})
        if "!no-json" in texts:
            return self.respond(200, None)
        rows = [{"index": n, "embedding": embed_text(text)} for n, text in enumerate(texts)]
        if "!short" in texts:
            rows.pop()
        if "!wide" in texts:
            rows = [{**row, "embedding": row["embedding"] * 2} for row in rows]
        if "!zero" in texts:
            rows[0]["embedding"] = [0.0] * DIMENSIONS
        return self.respond(200, {"data": rows[::-1], "model": body["model"]})

    def do_GET(self):
        self.respond(200, received)

    def respond(self, status, body, headers=None):
        raw = b"<html>" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(raw))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
