"""Embeddings from a server with an OpenAI-compatible API (POST /embeddings)."""

import json
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import urllib3

from backend.ai.embedder import Vectors
from backend.ai.embedding.registry import EmbeddingModelUnavailable
from backend.chassis.observability.tracing import SpanKind, start_as_current_span
from backend.chassis.settings import Secret

# Maximum number of texts per request. Servers reject larger requests or take too long for them.
_MAX_TEXTS = 64
# Longer texts are truncated: models read only a few hundred to a few thousand tokens.
_MAX_CHARACTERS = 8000
_MAX_ATTEMPTS = 3
_TIMEOUT = urllib3.Timeout(connect=5.0, read=60.0)
_MAX_RESPONSE_BYTES = 64 * 2**20
_RETRY_DELAY_SECONDS = 0.5
_MAX_RETRY_DELAY_SECONDS = 10.0


class EndpointEmbedder:
    """Requests the vectors of *model* from *base_url*, which ends in /v1 for most servers."""

    def __init__(self, base_url: str, model: str, api_key: Secret | None = None) -> None:
        self._url = f"{base_url}/embeddings"
        self._model = model
        self._headers = {"Content-Type": "application/json"}
        if api_key is not None:
            self._headers["Authorization"] = f"Bearer {api_key.reveal()}"
        self._pool = urllib3.PoolManager(maxsize=8, retries=False, timeout=_TIMEOUT)
        self._dimensions_lock = threading.Lock()
        self._dimensions: int | None = None

    @property
    def dimensions(self) -> int:
        if self._dimensions is None:
            with self._dimensions_lock:
                self.encode(["How many numbers make a vector?"])
        assert self._dimensions is not None  # noqa: S101 - encode has set it
        return self._dimensions

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return a float32 matrix with one unit row per text.

        Raises:
            EmbeddingModelUnavailable: the server fails three times, or its response is invalid.
        """
        if not texts:
            return np.empty((0, self.dimensions), np.float32)
        batches = [
            self._encode_batch(texts[start : start + _MAX_TEXTS])
            for start in range(0, len(texts), _MAX_TEXTS)
        ]
        return np.concatenate(batches)

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of `encode`: the interface does not distinguish queries.

        Raises:
            EmbeddingModelUnavailable: see `encode`.
        """
        return self.encode(texts)

    def _encode_batch(self, texts: Sequence[str]) -> Vectors:
        # Some servers reject empty texts.
        inputs = [text[:_MAX_CHARACTERS] or " " for text in texts]
        body = json.dumps({"model": self._model, "input": inputs, "encoding_format": "float"})
        for attempt in range(1, _MAX_ATTEMPTS + 1):
            try:
                return self._parse_vectors(self._post(body.encode()), len(texts))
            except _RetryableError as error:
                if attempt == _MAX_ATTEMPTS:
                    raise EmbeddingModelUnavailable(f"{self._url} {error}.") from error
                delay_seconds = error.retry_after_seconds or _RETRY_DELAY_SECONDS * 2**attempt
                time.sleep(min(delay_seconds, _MAX_RETRY_DELAY_SECONDS))
        raise AssertionError("unreachable")

    def _post(self, body: bytes) -> Any:
        """Send one request and return the parsed JSON of the response."""
        attributes = {"http.request.method": "POST", "url.full": self._url}
        try:
            with start_as_current_span("POST", SpanKind.CLIENT, attributes) as span:
                response = self._pool.request(
                    "POST",
                    self._url,
                    body=body,
                    headers=self._headers,
                    redirect=False,
                    preload_content=False,
                )
                span.set_attributes({"http.response.status_code": response.status})
                with response:
                    raw = response.read(_MAX_RESPONSE_BYTES)
        except urllib3.exceptions.HTTPError as error:
            raise _RetryableError("does not respond") from error
        if response.status == 429 or response.status >= 500:
            retry_after = response.headers.get("Retry-After", "")
            raise _RetryableError(
                f"returned status {response.status}",
                float(retry_after) if retry_after.isdigit() else 0.0,
            )
        if response.status != 200:
            # The response may quote the request, so the message does not contain it.
            raise EmbeddingModelUnavailable(
                f"{self._url} returned status {response.status}. "
                "Check EMBEDDING_BASE_URL, EMBEDDING_MODEL and EMBEDDING_API_KEY."
            )
        try:
            return json.loads(raw)
        except ValueError as error:
            raise _RetryableError("returned a response that is not JSON") from error

    def _parse_vectors(self, response: Any, count: int) -> Vectors:
        """Return the *count* vectors of *response*, scaled to length one."""
        try:
            # The server may return the embeddings in any order.
            embeddings = {int(item["index"]): item["embedding"] for item in response["data"]}
            rows = np.array([embeddings[index] for index in range(count)], np.float32)
        except (KeyError, TypeError, ValueError) as error:
            raise EmbeddingModelUnavailable(
                f"{self._url} did not return a vector for every text."
            ) from error
        norms = np.linalg.norm(rows, axis=-1, keepdims=True)
        if rows.ndim != 2 or not np.isfinite(rows).all() or not norms.all():
            raise EmbeddingModelUnavailable(f"{self._url} returned zero or non-finite vectors.")
        dimensions = self._dimensions
        if dimensions is not None and rows.shape[1] != dimensions:
            raise EmbeddingModelUnavailable(
                f"{self._url} returned vectors with {rows.shape[1]} dimensions instead of"
                f" {dimensions}. It serves another model: set EMBEDDING_MODEL to another name."
            )
        self._dimensions = rows.shape[1]
        unit_rows: Vectors = rows / norms
        return unit_rows


class _RetryableError(Exception):
    """A failure for which a retry may succeed. The message is a predicate: "does not respond"."""

    def __init__(self, message: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
