"""What is particular to PostgreSQL: how it is reached, and under which role a service works."""

from backend.chassis.database.postgresql.engines import open_engine, open_owner
from backend.chassis.database.postgresql.faults import is_away, trouble
from backend.chassis.database.postgresql.roles import as_owner, enter, is_settled
from backend.chassis.database.postgresql.urls import read_url

__all__ = [
    "as_owner",
    "enter",
    "is_away",
    "is_settled",
    "open_engine",
    "open_owner",
    "prepare",
    "read_url",
    "trouble",
]
