"""The built-in embedding model, built once and cached between test runs."""

from pathlib import Path

import pytest

from backend.ai.embedding import BuiltInEmbedder

CACHE = Path(__file__).parents[2] / ".cache"


@pytest.fixture(scope="session")
def embedder():
    return BuiltInEmbedder(CACHE, threads=1)
