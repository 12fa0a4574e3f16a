"""Alembic revisions of the chat service."""
