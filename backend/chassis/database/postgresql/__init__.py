"""PostgreSQL: engines, the roles that services use, and explanations of connection errors."""

from backend.chassis.database.postgresql.engines import create_owner_engine, create_service_engine
from backend.chassis.database.postgresql.errors import (
    explain_connection_error,
    get_sqlstate,
    is_unavailable,
)
from backend.chassis.database.postgresql.roles import as_owner, has_schema_and_role, set_tenant
from backend.chassis.database.postgresql.urls import parse_database_url

__all__ = [
    "as_owner",
    "create_owner_engine",
    "create_service_engine",
    "explain_connection_error",
    "get_sqlstate",
    "has_schema_and_role",
    "is_unavailable",
    "parse_database_url",
    "set_tenant",
]
