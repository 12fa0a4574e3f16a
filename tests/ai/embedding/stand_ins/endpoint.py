"""An embeddings endpoint that does as it is told: `python endpoint.py PORT`.

A text `!500` makes it fail, `!slow-down` makes it ask for patience once, and so on; GET /asked
tells what it was sent.
"""

import hashlib
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DIMENSIONS = 8
asked = []


def vector(text):
    """Texts that share words are near: each word has a direction of its own."""
    row = [0.0] * DIMENSIONS
    for word in text.lower().split() or [""]:
        digest = hashlib.sha256(word.encode()).digest()
        row[digest[0] % DIMENSIONS] += 3.0
    return row


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked.append({"key": self.headers["Authorization"], "path": self.path, **body})
        texts = body["input"]
        before = sum(each["input"] == texts for each in asked[:-1] if "input" in each)
        if "!500" in texts:
            return self.answer(500, {"error": "broken"})
        if "!401" in texts:
            return self.answer(401, {"error": "who are you"})
        if "!busy-once" in texts and not before:
            return self.answer(429, {"error": "too many"}, {"Retry-After": "0"})
        if "!no-json" in texts:
            return self.answer(200, None)
        rows = [{"index": n, "embedding": vector(text)} for n, text in enumerate(texts)]
        if "!short" in texts:
            rows.pop()
        if "!wide" in texts:
            rows = [{**row, "embedding": row["embedding"] * 2} for row in rows]
        if "!zero" in texts:
            rows[0]["embedding"] = [0.0] * DIMENSIONS
        return self.answer(200, {"data": rows[::-1], "model": body["model"]})

    def do_GET(self):
        self.answer(200, asked)

    def answer(self, status, said, headers=None):
        raw = b"<html>" if said is None else json.dumps(said).encode()
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(raw))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
