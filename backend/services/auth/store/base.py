"""Declarative base and id generation of the auth tables."""

from uuid import uuid4

from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    """Base class of the auth tables."""


def generate_id() -> str:
    return uuid4().hex
