"""The model that compares questions with sentences, for each tenant.

It is the multilingual model where that serves searches, otherwise the built-in model for English,
also if another model is configured: the thresholds of answers were measured with these two.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from backend.ai.embedder import Vectors
from backend.ai.embedding import BUILT_IN, DIMENSIONS, MULTILINGUAL, EmbeddingModel
from backend.services.rag.domain.embeddings.model_registry import EmbeddingModelRegistry
from backend.services.rag.store.embeddings import TenantScope


@dataclass(frozen=True, slots=True)
class SimilarityScale:
    """Maps the cosine similarities of a model to those of the model for English.

    The thresholds of answers and refusals were measured with the latter.
    """

    factor: float
    offset: float

    def convert(self, similarities: Vectors) -> Vectors:
        scaled: Vectors = np.clip(self.factor * similarities + self.offset, -1, 1)
        return scaled


# Measured with benchmarks/rag/similarity_scale.py; see ADR 60.
SCALES: Final = {BUILT_IN: SimilarityScale(1, 0), MULTILINGUAL: SimilarityScale(1.12, 0.052)}


@dataclass(frozen=True, slots=True)
class SentenceModel:
    """A model that embeds sentences, and the tenants whose sentences it embeds."""

    name: str
    embedder: EmbeddingModel
    scope: TenantScope

    @property
    def scale(self) -> SimilarityScale:
        return SCALES[self.name]


class SentenceModels:
    """Selects the model of the sentences of a tenant."""

    def __init__(
        self, models: EmbeddingModelRegistry, english: EmbeddingModel, multilingual: EmbeddingModel
    ) -> None:
        self._models = models
        self._english = SentenceModel(BUILT_IN, english, "others")
        self._multilingual = SentenceModel(MULTILINGUAL, multilingual, "multilingual")

    def get_model(self, tenant_id: str) -> SentenceModel:
        """Return the model of the tenant's sentences."""
        serving = self._models.get_serving_model(tenant_id)
        return self._multilingual if serving.name == MULTILINGUAL else self._english

    def list_models(self) -> tuple[SentenceModel, ...]:
        """Return the models that embed the sentences of some tenants."""
        models = self._models.list_current_models()
        if any(model.name == MULTILINGUAL and model.state == "serving" for model in models):
            return (replace(self._multilingual, scope="all"),)
        return self._english, self._multilingual


def embed_sentences(embedder: EmbeddingModel, texts: Sequence[str]) -> Vectors:
    """Return one unit vector per text, of shape (len(texts), DIMENSIONS).

    Each text is embedded as a batch of its own, which takes a fifth more time. The built-in models
    quantise a batch with one scale: in a larger batch the other texts would change the vector of a
    text, and its similarities by up to 0.03.
    """
    rows = np.empty((len(texts), DIMENSIONS), np.float32)
    for row, text in zip(rows, texts, strict=True):
        row[:] = embedder.encode([text])[0]
    return rows
