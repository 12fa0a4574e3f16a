"""BM25 keyword index: stored postings, in-memory segments, and a cache of indexes."""
