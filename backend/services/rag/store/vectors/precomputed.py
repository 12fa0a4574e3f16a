"""LangChain embeddings that return precomputed vectors."""

from langchain_core.embeddings import Embeddings

from backend.services.rag.store.vectors import Vectors


class PrecomputedEmbeddings(Embeddings):
    """Returns *vectors* for the texts of one call, in order."""

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        if len(texts) != len(self._vectors):
            raise ValueError(f"Got {len(texts)} texts for {len(self._vectors)} vectors.")
        # Return arrays, not lists of floats: callers would check and copy each number of a list.
        return list(self._vectors)

    def embed_query(self, text: str) -> list[float]:
        raise NotImplementedError(f"Queries are not precomputed: {text!r}.")
