"""Declarative base, ids and clock of all tables."""

import secrets
import time
from datetime import UTC, datetime

from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    """Base class of the service's tables."""


def new_id(kind: str) -> str:
    """Return an opaque id with prefix *kind*. Ids sort by creation time and are unguessable."""
    return f"{kind}_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(8)}"


def utc_now() -> datetime:
    return datetime.now(UTC)
