"""Business rules of the rag service: access, documents, ingestion, search and answers."""
