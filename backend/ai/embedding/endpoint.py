"""Vectors from any server that speaks OpenAI's embeddings API (POST /embeddings)."""

import json
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import urllib3

from backend.ai.embedding.engine import Vectors
from backend.ai.embedding.models import ModelUnavailable
from backend.chassis.observability.tracing import Kind, span
from backend.chassis.settings import Secret

# What one request may ask; servers refuse more texts or take too long over them.
_TEXTS = 64
# Models read a few hundred to a few thousand tokens; the rest of a longer text is not sent.
_CHARACTERS = 8000
_ATTEMPTS = 3
_TIMEOUT = urllib3.Timeout(connect=5.0, read=60.0)
_MOST_ANSWER_BYTES = 64 * 2**20
_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 10.0


class EndpointModel:
    """Asks *base_url*, which ends in /v1 with most servers, for vectors of *model*."""

    def __init__(self, base_url: str, model: str, api_key: Secret | None = None) -> None:
        self._url = f"{base_url}/embeddings"
        self._model = model
        self._headers = {"Content-Type": "application/json"}
        if api_key is not None:
            self._headers["Authorization"] = f"Bearer {api_key.reveal()}"
        self._pool = urllib3.PoolManager(maxsize=8, retries=False, timeout=_TIMEOUT)
        self._asking = threading.Lock()
        self._dimensions: int | None = None

    @property
    def dimensions(self) -> int:
        if self._dimensions is None:
            with self._asking:
                self.encode(["How many numbers make a vector?"])
        assert self._dimensions is not None  # noqa: S101 - encode has set it
        return self._dimensions

    def encode(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.empty((0, self.dimensions), np.float32)
        parts = [
            self._part(texts[start : start + _TEXTS]) for start in range(0, len(texts), _TEXTS)
        ]
        return np.concatenate(parts)

    def _part(self, texts: Sequence[str]) -> Vectors:
        # An empty text is an error to some servers.
        sent = [text[:_CHARACTERS] or " " for text in texts]
        body = json.dumps({"model": self._model, "input": sent, "encoding_format": "float"})
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._rows(self._ask(body.encode()), len(texts))
            except _TryAgain as trouble:
                if attempt == _ATTEMPTS:
                    raise ModelUnavailable(f"{self._url} {trouble}.") from trouble
                time.sleep(
                    min(trouble.pause or _PAUSE_SECONDS * 2**attempt, _LONGEST_PAUSE_SECONDS)
                )
        raise AssertionError("unreachable")

    def _ask(self, body: bytes) -> Any:
        asked = {"http.request.method": "POST", "url.full": self._url}
        try:
            with span("POST", Kind.CLIENT, asked) as asking:
                response = self._pool.request(
                    "POST",
                    self._url,
                    body=body,
                    headers=self._headers,
                    redirect=False,
                    preload_content=False,
                )
                asking.set({"http.response.status_code": response.status})
                with response:
                    raw = response.read(_MOST_ANSWER_BYTES)
        except urllib3.exceptions.HTTPError as error:
            raise _TryAgain("does not answer") from error
        if response.status == 429 or response.status >= 500:
            pause = response.headers.get("Retry-After", "")
            raise _TryAgain(f"answers {response.status}", float(pause) if pause.isdigit() else 0.0)
        if response.status != 200:
            # What it says may repeat what was sent, so it is not repeated here.
            raise ModelUnavailable(
                f"{self._url} answers {response.status}. "
                "Check EMBEDDING_BASE_URL, EMBEDDING_MODEL and EMBEDDING_API_KEY."
            )
        try:
            return json.loads(raw)
        except ValueError as error:
            raise _TryAgain("answers no JSON") from error

    def _rows(self, answer: Any, count: int) -> Vectors:
        try:
            # In whatever order they came.
            found = {int(each["index"]): each["embedding"] for each in answer["data"]}
            rows = np.array([found[index] for index in range(count)], np.float32)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelUnavailable(
                f"{self._url} answers without a vector for each text."
            ) from error
        norms = np.linalg.norm(rows, axis=-1, keepdims=True)
        if rows.ndim != 2 or not np.isfinite(rows).all() or not norms.all():
            raise ModelUnavailable(f"{self._url} answers with vectors that point nowhere.")
        known = self._dimensions
        if known is not None and rows.shape[1] != known:
            raise ModelUnavailable(
                f"{self._url} gives {rows.shape[1]} numbers where it gave {known}: that is another "
                "model, so let EMBEDDING_MODEL name it otherwise."
            )
        self._dimensions = rows.shape[1]
        unit: Vectors = rows / norms
        return unit


class _TryAgain(Exception):
    """What may be otherwise in a moment."""

    def __init__(self, what: str, pause: float = 0.0) -> None:
        super().__init__(what)
        self.pause = pause
