"""Cross-encoder rerankers: at an HTTP endpoint, or in this process."""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import urllib3

from backend.chassis.observability.tracing import SpanKind, start_as_current_span
from backend.chassis.settings import Secret
from backend.services.rag.errors import RerankerFailed

_MAX_RESPONSE_BYTES = 1024 * 1024
_MAX_CHUNK_CHARACTERS = 4000


@dataclass(frozen=True, slots=True)
class RerankSettings:
    """Model name and its endpoint. Without *url*, the model is loaded into this process."""

    model: str | None = None
    url: str | None = None
    api_key: Secret | None = None
    timeout: timedelta = timedelta(seconds=5)


class EndpointReranker:
    """Client of `POST {url}/rerank`, the API of Cohere, Jina, vLLM and Hugging Face TEI."""

    def __init__(self, settings: RerankSettings) -> None:
        self._url = f"{str(settings.url).rstrip('/')}/rerank"
        self._model = settings.model
        self._key = settings.api_key
        seconds = settings.timeout.total_seconds()
        self._timeout = urllib3.Timeout(connect=min(2.0, seconds), read=seconds)
        self._pool = urllib3.PoolManager(maxsize=8, retries=False)
        # TEI names this field `texts` and rejects `documents` with status 422.
        self._texts_field = "documents"

    def score_chunks(self, question: str, chunks: Sequence[str]) -> Sequence[float]:
        """Return one score per chunk. Raises RerankerFailed."""
        texts = [chunk[:_MAX_CHUNK_CHARACTERS] for chunk in chunks]
        status, response = self._request_scores(question, texts)
        if status == 422 and self._texts_field == "documents":
            self._texts_field = "texts"
            status, response = self._request_scores(question, texts)
        if status >= 400:
            raise RerankerFailed(f"the endpoint returned status {status}")
        return _parse_scores(response, len(texts))

    def _request_scores(self, question: str, texts: Sequence[str]) -> tuple[int, Any]:
        body: dict[str, Any] = {"query": question, self._texts_field: texts}
        if self._model and self._texts_field == "documents":
            body["model"] = self._model
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key.reveal()}"
        try:
            with start_as_current_span(
                "POST", SpanKind.CLIENT, {"url.full": self._url}
            ) as current_span:
                response = self._pool.request(
                    "POST",
                    self._url,
                    body=json.dumps(body).encode(),
                    headers=headers,
                    timeout=self._timeout,
                    redirect=False,
                    preload_content=False,
                )
                current_span.set_attributes({"http.response.status_code": response.status})
                with response:
                    raw = response.read(_MAX_RESPONSE_BYTES + 1)
        except urllib3.exceptions.HTTPError as error:
            raise RerankerFailed("the endpoint does not respond in time") from error
        try:
            return response.status, json.loads(raw)
        except ValueError as error:
            raise RerankerFailed("the endpoint returned invalid JSON") from error


class LocalReranker:
    """Cross-encoder of sentence-transformers in this process, loaded on first use."""

    def __init__(self, settings: RerankSettings) -> None:
        self._model = str(settings.model)
        self._lock = threading.Lock()
        self._encoder: Any = None

    def score_chunks(self, question: str, chunks: Sequence[str]) -> Sequence[float]:
        """Return one score per chunk. Raises RerankerFailed."""
        pairs = [(question, chunk[:_MAX_CHUNK_CHARACTERS]) for chunk in chunks]
        return [
            float(score) for score in self._get_encoder().predict(pairs, show_progress_bar=False)
        ]

    def _get_encoder(self) -> Any:
        with self._lock:
            if self._encoder is None:
                try:
                    from sentence_transformers import CrossEncoder

                    self._encoder = CrossEncoder(self._model, max_length=512)
                except ImportError as error:
                    raise RerankerFailed("the extra torch is not installed") from error
                except (OSError, ValueError) as error:
                    raise RerankerFailed(f"the model {self._model} cannot be loaded") from error
            return self._encoder


def open_reranker(settings: RerankSettings) -> EndpointReranker | LocalReranker | None:
    """Return the configured reranker, or None. It loads the model or connects on first use."""
    if settings.url:
        return EndpointReranker(settings)
    return LocalReranker(settings) if settings.model else None


def _parse_scores(response: Any, count: int) -> list[float]:
    """Return the scores in request order.

    *response* is an object with `results` (Cohere) or a bare list (TEI), in any order.
    """
    rows = response.get("results") if isinstance(response, dict) else response
    scores: dict[int, float] = {}
    try:
        for row in rows or []:
            score = row["relevance_score"] if "relevance_score" in row else row["score"]
            scores[int(row["index"])] = float(score)
    except (KeyError, TypeError, ValueError) as error:
        raise RerankerFailed("the endpoint returned no valid scores") from error
    if set(scores) != set(range(count)):
        raise RerankerFailed("the endpoint did not score all chunks")
    return [scores[index] for index in range(count)]
