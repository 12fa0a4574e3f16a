"""Declarative base, ids and clock for all tables."""

import secrets
import time
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, MetaData
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def new_id(kind: str) -> str:
    """Return an opaque id with prefix *kind*. Ids sort by creation time and are unguessable."""
    return f"{kind}_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(8)}"


def is_old_generation(
    generation: InstrumentedAttribute[int], keep_generation: int, *, keep_newer: bool
) -> ColumnElement[bool]:
    """Return the condition for rows of other generations than *keep_generation*.

    Args:
        generation: the column of the generation.
        keep_newer: keep the rows of later generations too.
    """
    return generation < keep_generation if keep_newer else generation != keep_generation


def utc_now() -> datetime:
    return datetime.now(UTC)
