"""What every table of auth shares."""

from uuid import uuid4

from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    """The tables of auth."""


def new_id() -> str:
    return uuid4().hex
