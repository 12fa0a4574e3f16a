"""Say where an answer's sentences come from, by finding them in the passages it rests on."""

from backend.ai.citations.sources import (
    Citation,
    Embedder,
    Passage,
    Sources,
    Weaver,
    content_words,
)

__all__ = ["Citation", "Embedder", "Passage", "Sources", "Weaver", "content_words"]
