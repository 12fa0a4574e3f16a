"""The built-in embedding model."""

import pytest

from backend.ai.embedding import BuiltInEmbedder


@pytest.fixture(scope="session")
def embedder():
    return BuiltInEmbedder(threads=1)
