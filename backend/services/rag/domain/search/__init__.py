"""Search: dense and keyword rankings, their fusion, reranking and metadata filters."""
