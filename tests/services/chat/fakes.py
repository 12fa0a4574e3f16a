"""A fake agent, which also issues the tokens of auth that the chat service requests."""

import json
import threading
import time


class FakeAgent:
    """Answers each request with the text "You said: …" and one citation.

    Requests with a known reference get the first answer. Sessions belong to a credential.
    """

    def __init__(self):
        self.url = ""
        self.reset()

    def reset(self):
        self.queries = []
        self.sessions = {}
        self.answers = {}
        self.deleted_sessions = []
        self.delegations = []
        self.exchanges = []
        self.problem = None
        self.failures = None
        self.session_has_ended = False
        self.delay = 0.0
        # Texts of requests whose answers are sent up to the middle, until `release` or `cancel`.
        self.held = ()
        self.release = threading.Event()
        # The connections of these answers are closed after `release` or `cancel`.
        self.breaks_off = False
        self.is_writing = threading.Event()
        self.cancelled = []
        self.lock = threading.Lock()

    @property
    def runs(self):
        """The requests that were answered, without repeated ones."""
        return [query for query in self.queries if not query["repeated"]]

    def handle_request(self, handler):
        if handler.path == "/internal/delegations":
            return self._delegate(handler)
        if handler.path == "/api-keys/exchange":
            self.exchanges.append(handler.read_json())
            return handler.send_json(200, {"access_token": "token-of-account", "expires_in": 300})
        if handler.path == "/internal/sessions/delete":
            self.deleted_sessions += handler.read_json()["ids"]
            return handler.send_json(200, {})
        if handler.path == "/query":
            return self._answer(handler)
        if handler.path.endswith("/cancel"):
            handler.read_json()
            self.cancelled.append(handler.path.split("/")[2])
            self.release.set()
            return handler.send_json(200, {})
        owner = handler.headers.get("Authorization", "")
        body = handler.read_json()
        new = [(item["role"], item["content"]) for item in body["messages"]]
        if handler.path == "/sessions":
            return handler.send_json(201, {"id": self._create_session(owner, new)})
        session = self.sessions.get(handler.path.split("/")[2])
        if session is None or session["owner"] != owner:
            return handler.send_json(404, {"code": "conversation_not_found", "detail": "None."})
        session["messages"].extend(new)
        return handler.send_json(201, {"id": "…"})

    def _create_session(self, owner, messages):
        session_id = f"session-{len(self.sessions) + 1}"
        self.sessions[session_id] = {"owner": owner, "messages": list(messages)}
        return session_id

    def _delegate(self, handler):
        body = handler.read_json()
        self.delegations.append(body | {"service": "X-Service-Token" in handler.headers})
        if self.session_has_ended:
            return handler.send_json(401, {"code": "session_ended", "detail": "Ended."})
        token = {"access_token": f"delegated-{body['session_id']}", "expires_in": 300}
        return handler.send_json(200, token)

    def _answer(self, handler):
        body = handler.read_json()
        owner = handler.headers.get("Authorization", "")
        with self.lock:
            known = self.answers.get((owner, body["request_ref"]))
            self.queries.append(body | {"authorization": owner, "repeated": known is not None})
        if self.failures is not None and len(self.queries) > self.failures:
            self.problem = None
        if self.problem is not None:
            status, code = self.problem
            return handler.send_json(status, {"code": code, "detail": "The agent failed."})
        if body.get("session_id") not in (None, *self.sessions):
            return handler.send_json(404, {"code": "conversation_not_found", "detail": "None."})
        time.sleep(self.delay)
        text = f"You said: {body['user_request']}"
        session_id = body.get("session_id") or self._create_session(owner, ())
        session = self.sessions[session_id]
        if known is None:
            session["messages"] += [("user", body["user_request"]), ("assistant", text)]
            self.answers[owner, body["request_ref"]] = text
        events = [
            ("session", {"session_id": session_id}),
            ("tool_start", {"id": "1", "tool": "search_documents"}),
            ("tool_end", {"id": "1", "tool": "search_documents", "status": "ok", "took_ms": 1}),
            *(("token", {"text": f"{word} "}) for word in text.split(" ")),
            (
                "done",
                {
                    "response": text,
                    "session_id": session_id,
                    "message_id": "msg_1",
                    "citations": [{"marker": 1, "document_id": "doc_1", "quote": "A quote."}],
                    "steps": [],
                    "model": "fake",
                    "usage": {"prompt_tokens": 1, "completion_tokens": 2},
                    "took_ms": 3,
                    "finish_reason": "stop",
                    "waiting": [],
                    "approval": None,
                },
            ),
        ]
        pieces = [
            f"id: {number}\nevent: {name}\ndata: {json.dumps(data)}\n\n".encode()
            for number, (name, data) in enumerate(events, 1)
        ]
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Content-Length", str(sum(map(len, pieces))))
        handler.end_headers()
        if body["user_request"] in self.held:
            handler.wfile.write(b"".join(pieces[:4]))
            handler.wfile.flush()
            self.is_writing.set()
            self.release.wait(10)
            pieces = pieces[4:]
            if self.breaks_off:
                handler.disconnect()
                return None
        handler.wfile.write(b"".join(pieces))
        return None
