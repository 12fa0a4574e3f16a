"""Authentication, permissions, input validation, rate limits and the outbound guard.

Imports no other package of the project. Works on any Flask app without setup: the settings are
read from the environment at the first request.
"""

from backend.security.authentication import (
    Principal,
    caller_headers,
    current_principal,
    ensure_session_valid,
)
from backend.security.guards import (
    authenticated,
    internal_only,
    public,
    require_permission,
    require_resource,
)
from backend.security.http_errors import HttpError
from backend.security.permissions import BUILT_IN_ROLES, Permission
from backend.security.validation import (
    FiniteNumbers,
    Input,
    JsonInteger,
    VisibleText,
    has_visible_character,
    invalid_field,
    validate_input,
    validate_query,
)

__all__ = [
    "BUILT_IN_ROLES",
    "FiniteNumbers",
    "HttpError",
    "Input",
    "JsonInteger",
    "Permission",
    "Principal",
    "VisibleText",
    "authenticated",
    "caller_headers",
    "current_principal",
    "ensure_session_valid",
    "has_visible_character",
    "internal_only",
    "invalid_field",
    "public",
    "require_permission",
    "require_resource",
    "validate_input",
    "validate_query",
]
