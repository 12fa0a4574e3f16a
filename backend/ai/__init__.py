"""AI code shared by the services: embeddings, chat models, citations, prompts, text processing.

It does not import any service.
"""
