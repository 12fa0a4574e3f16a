"""Alembic migrations of the realtime service's tables."""
