"""Who may do what, and what we accept. Imports nothing else of ours.

Works on any Flask app without set-up: what it needs to know is read from the
environment at the first request.
"""

from backend.security.authentication import (
    Principal,
    caller_headers,
    current_principal,
    ensure_standing,
)
from backend.security.guards import (
    authenticated,
    internal_only,
    public,
    require_permission,
    require_resource,
)
from backend.security.http_errors import Refusal
from backend.security.permissions import BUILT_IN_ROLES, Permission
from backend.security.validation import (
    Input,
    WholeNumber,
    invalid_field,
    validate_input,
    validate_query,
)

__all__ = [
    "BUILT_IN_ROLES",
    "Input",
    "Permission",
    "Principal",
    "Refusal",
    "WholeNumber",
    "authenticated",
    "caller_headers",
    "current_principal",
    "ensure_standing",
    "internal_only",
    "invalid_field",
    "public",
    "require_permission",
    "require_resource",
    "validate_input",
    "validate_query",
]
