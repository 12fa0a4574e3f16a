"""Background work: ingestion worker, Celery broker, and the ingestion and embedding threads."""
