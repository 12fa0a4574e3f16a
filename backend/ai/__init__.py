"""Shared AI code: embeddings, chat models, text processing, citations. Knows no service."""
