"""Alembic migrations of the rag tables."""
