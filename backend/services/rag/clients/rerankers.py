"""Models that read a question and a passage together: at an endpoint, or in this process."""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import urllib3

from backend.chassis.observability.tracing import Kind, span
from backend.chassis.settings import Secret
from backend.services.rag.errors import RerankerFailed

_MOST_BYTES = 1024 * 1024
_LONGEST = 4000


@dataclass(frozen=True, slots=True)
class RerankSettings:
    """A model by name, at *url* where there is one."""

    model: str | None = None
    url: str | None = None
    key: Secret | None = None
    timeout: timedelta = timedelta(seconds=5)


class EndpointReranker:
    """`POST {url}/rerank` as Cohere, Jina, vLLM and Hugging Face's TEI understand it."""

    def __init__(self, settings: RerankSettings) -> None:
        self._url = f"{str(settings.url).rstrip('/')}/rerank"
        self._model = settings.model
        self._key = settings.key
        seconds = settings.timeout.total_seconds()
        self._timeout = urllib3.Timeout(connect=min(2.0, seconds), read=seconds)
        self._pool = urllib3.PoolManager(maxsize=8, retries=False)
        # TEI calls the passages texts, and knows nothing called documents.
        self._name = "documents"

    def scores(self, question: str, passages: Sequence[str]) -> Sequence[float]:
        texts = [passage[:_LONGEST] for passage in passages]
        status, answer = self._ask(question, texts)
        if status == 422 and self._name == "documents":
            self._name = "texts"
            status, answer = self._ask(question, texts)
        if status >= 400:
            raise RerankerFailed(f"its server answered {status}")
        return _in_order(answer, len(texts))

    def _ask(self, question: str, texts: Sequence[str]) -> tuple[int, Any]:
        body: dict[str, Any] = {"query": question, self._name: texts}
        if self._model and self._name == "documents":
            body["model"] = self._model
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key.reveal()}"
        try:
            with span("POST", Kind.CLIENT, {"url.full": self._url}) as asking:
                response = self._pool.request(
                    "POST",
                    self._url,
                    body=json.dumps(body).encode(),
                    headers=headers,
                    timeout=self._timeout,
                    redirect=False,
                    preload_content=False,
                )
                asking.set({"http.response.status_code": response.status})
                with response:
                    raw = response.read(_MOST_BYTES + 1)
        except urllib3.exceptions.HTTPError as error:
            raise RerankerFailed("its server does not answer in time") from error
        try:
            return response.status, json.loads(raw)
        except ValueError as error:
            raise RerankerFailed("its server answered no JSON") from error


class LocalReranker:
    """A cross-encoder in this process, by sentence-transformers; loads at its first use."""

    def __init__(self, settings: RerankSettings) -> None:
        self._model = str(settings.model)
        self._loading = threading.Lock()
        self._loaded: Any = None

    def scores(self, question: str, passages: Sequence[str]) -> Sequence[float]:
        pairs = [(question, passage[:_LONGEST]) for passage in passages]
        return [float(score) for score in self._encoder().predict(pairs, show_progress_bar=False)]

    def _encoder(self) -> Any:
        with self._loading:
            if self._loaded is None:
                try:
                    from sentence_transformers import CrossEncoder

                    self._loaded = CrossEncoder(self._model, max_length=512)
                except ImportError as error:
                    raise RerankerFailed("the torch extra is not installed") from error
                except (OSError, ValueError) as error:
                    raise RerankerFailed(f"{self._model} cannot be loaded") from error
            return self._loaded


def open_reranker(settings: RerankSettings) -> EndpointReranker | LocalReranker | None:
    if settings.url:
        return EndpointReranker(settings)
    return LocalReranker(settings) if settings.model else None


def _in_order(answer: Any, count: int) -> list[float]:
    """The scores by the passages' own order, out of `results` or a bare list of them."""
    rows = answer.get("results") if isinstance(answer, dict) else answer
    scores: dict[int, float] = {}
    try:
        for row in rows or []:
            score = row["relevance_score"] if "relevance_score" in row else row["score"]
            scores[int(row["index"])] = float(score)
    except (KeyError, TypeError, ValueError) as error:
        raise RerankerFailed("its server answered something else than scores") from error
    if set(scores) != set(range(count)):
        raise RerankerFailed("its server left passages out")
    return [scores[place] for place in range(count)]
