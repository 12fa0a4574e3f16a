"""Background work: the ingestion worker, its broker, and ingestion and embedding threads."""
