"""Alembic revisions of the auth tables."""
