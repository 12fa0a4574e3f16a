"""Vectors that are there already, in the shape in which LangChain asks for them."""

from langchain_core.embeddings import Embeddings

from backend.services.rag.store.vectors import Rows


class Precomputed(Embeddings):
    """Gives the rows it was made with for the texts of one call, in their order."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        if len(texts) != len(self._rows):
            raise ValueError(f"{len(self._rows)} vectors were computed, not {len(texts)}.")
        # As they are: numbers in lists would be checked and copied one by one.
        return list(self._rows)

    def embed_query(self, text: str) -> list[float]:
        raise NotImplementedError(f"Only whole batches are precomputed, not {text!r}.")
