"""Every permission and the roles that grant it, on one page."""

from enum import StrEnum


class Permission(StrEnum):
    """What a caller may do; each route names the one it needs."""

    RAG_READ = "rag:read"
    RAG_WRITE = "rag:write"
    AGENT_QUERY = "agent:query"
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"
    AUDIT_READ = "audit:read"
    SYSTEM_READ = "system:read"
    SYSTEM_WRITE = "system:write"


_VIEWER = frozenset({Permission.RAG_READ, Permission.AGENT_QUERY})
_USER = _VIEWER | {Permission.RAG_WRITE}

BUILT_IN_ROLES: dict[str, frozenset[Permission]] = {
    "viewer": _VIEWER,
    "user": _USER,
    "tenant_admin": _USER | {Permission.USERS_READ, Permission.USERS_WRITE, Permission.AUDIT_READ},
    "admin": frozenset(Permission),
}

# What a service may do for the user it calls for, whatever more that user may do.
# Who is not listed calls nobody.
ON_BEHALF: dict[str, frozenset[Permission]] = {
    "agent-service": frozenset({Permission.RAG_READ, Permission.RAG_WRITE}),
    "admin-service": frozenset({Permission.SYSTEM_READ}),
}
