"""Alembic migrations of the agent's tables."""
