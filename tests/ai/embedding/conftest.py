"""One built model for all tests, kept between runs."""

from pathlib import Path

import pytest

from backend.ai.embedding import Embedder

CACHE = Path(__file__).parents[3] / ".cache"


@pytest.fixture(scope="session")
def embedder():
    return Embedder(CACHE, threads=1)
