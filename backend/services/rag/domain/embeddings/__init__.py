"""Embedding models: the active and the pending model, and embedding of missing chunks."""
