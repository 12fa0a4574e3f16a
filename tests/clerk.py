"""A stand-in for Clerk: it signs session tokens and webhooks, and serves keys and profiles."""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

from backend.security.standard_webhooks import decode_secret, sign_webhook

HOST = "able-fox-7.clerk.accounts.dev"
ISSUER = f"https://{HOST}"
PUBLISHABLE_KEY = "pk_test_" + base64.b64encode(f"{HOST}$".encode()).decode()
SECRET_KEY = "sk_test_0123456789abcdefghijklmnopqrstuvwxyzABCDEF"
WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"a secret of the tests, 32 bytes!").decode()
PARTY = "https://app.example.org"
TOKEN_SECONDS = 60


@cache
def get_key(name: str, bits: int = 2048) -> RSAPrivateKey:
    """Return the key *name*, which is generated once in a test process."""
    del name
    return rsa.generate_private_key(65537, bits)


def get_public_pem(name: str = "current") -> str:
    public = get_key(name).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


class Clerk:
    """Signs tokens with the key `current`.

    Attributes:
        published: names of the keys that the server publishes.
        fault: `status`, `hang`, `drip`, `huge`, `text`, `redirect` or `empty`; None for none.
        profiles: documents of the Backend API by the user's id.
        requests: paths that were requested.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self.published = ["current"]
        self.fault: str | None = None
        self.profiles: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.authorizations: list[str | None] = []
        self.stopped = threading.Event()
        self.url = ""

    def build_claims(self, **claims: Any) -> dict[str, Any]:
        """Return the claims of version 2; a claim `...` is left out."""
        now = int(self._now())
        defaults = {
            "azp": PARTY,
            "exp": now + TOKEN_SECONDS,
            "fva": [0, -1],
            "iat": now,
            "iss": ISSUER,
            "jti": "3f0c2a",
            "nbf": now - 10,
            "sid": "sess_1",
            "sts": "active",
            "sub": "user_ada",
            "v": 2,
        }
        return {name: value for name, value in (defaults | claims).items() if value is not ...}

    def sign(
        self, key: Any = "current", kid: str | None = None, alg: str = "RS256", **claims: Any
    ) -> str:
        """Return a session token."""
        return self.sign_claims(self.build_claims(**claims), key, kid, alg)

    def sign_claims(
        self,
        claims: Any,
        key: Any = "current",
        kid: str | None = None,
        alg: str = "RS256",
        **header: Any,
    ) -> str:
        signing_key = get_key(key) if isinstance(key, str) else key
        headers = {"typ": "JWT", "kid": kid or f"ins_{key if isinstance(key, str) else 1}"}
        # The JWS layer: jwt.encode would reject some of these claims.
        return jwt.PyJWS().encode(
            json.dumps(claims).encode(), signing_key, algorithm=alg, headers=headers | header
        )

    def sign_webhook(
        self, body: bytes, at: datetime, secret: str = WEBHOOK_SECRET, prefix: str = "svix"
    ) -> dict[str, str]:
        """Return the headers of a webhook."""
        signed = sign_webhook(decode_secret(secret), "msg_1", at, body)
        return {name.replace("webhook", prefix): value for name, value in signed.items()}

    def get_document(self, path: str) -> tuple[int, object]:
        if path == "/.well-known/jwks.json":
            return 200, {"keys": [_to_jwk(name) for name in self.published]}
        user = path.removeprefix("/v1/users/")
        return (200, self.profiles[user]) if user in self.profiles else (404, {"errors": []})


def _to_jwk(name: str) -> dict[str, Any]:
    jwk = RSAAlgorithm.to_jwk(get_key(name).public_key(), as_dict=True)
    return {**jwk, "use": "sig", "alg": "RS256", "kid": f"ins_{name}"}


@contextmanager
def serve(clerk: Clerk) -> Iterator[Clerk]:
    """Serve the keys and the Backend API of *clerk* at `clerk.url`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            clerk.requests.append(self.path)
            clerk.authorizations.append(self.headers.get("Authorization"))
            with suppress(OSError):
                _respond(self, clerk)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    clerk.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield clerk
    finally:
        clerk.stopped.set()
        server.shutdown()
        thread.join(5)
        server.server_close()


def _respond(handler: BaseHTTPRequestHandler, clerk: Clerk) -> None:
    status, document = clerk.get_document(handler.path)
    body = json.dumps(document).encode()
    if clerk.fault == "hang":
        clerk.stopped.wait(20)
        return
    if clerk.fault == "drip":
        # Each byte arrives within every timeout for a single read.
        for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 1000:
            handler.wfile.write(bytes([byte]))
            if clerk.stopped.wait(0.02):
                return
    if clerk.fault == "status":
        status = 500
    elif clerk.fault == "redirect":
        status = 302
    elif clerk.fault == "huge":
        body = b'{"keys": [], "x": "' + b"x" * 2_000_000 + b'"}'
    elif clerk.fault == "text":
        body = b"<html>"
    elif clerk.fault == "empty":
        body = b'{"keys": []}'
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    if clerk.fault == "redirect":
        handler.send_header("Location", "/.well-known/jwks.json?again")
    handler.end_headers()
    handler.wfile.write(body)
