"""All permissions and the built-in roles that grant them."""

from enum import StrEnum


class Permission(StrEnum):
    """A permission. Each route requires one."""

    RAG_READ = "rag:read"
    RAG_WRITE = "rag:write"
    AGENT_QUERY = "agent:query"
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"
    AUDIT_READ = "audit:read"
    SYSTEM_READ = "system:read"
    SYSTEM_WRITE = "system:write"
    PACKAGES_READ = "packages:read"
    PACKAGES_WRITE = "packages:write"
    CHAT_USE = "chat:use"
    CHAT_READ = "chat:read"
    CHAT_REPLY = "chat:reply"
    CHAT_MANAGE = "chat:manage"
    REALTIME_PUBLISH = "realtime:publish"


_VIEWER = frozenset(
    {
        Permission.RAG_READ,
        Permission.AGENT_QUERY,
        Permission.PACKAGES_READ,
        Permission.CHAT_USE,
    }
)
_USER = _VIEWER | {Permission.RAG_WRITE, Permission.PACKAGES_WRITE}

BUILT_IN_ROLES: dict[str, frozenset[Permission]] = {
    "viewer": _VIEWER,
    "user": _USER,
    # Colleagues who answer in the inbox of the team.
    "support": _USER | {Permission.CHAT_READ, Permission.CHAT_REPLY},
    "tenant_admin": _USER
    | {
        Permission.USERS_READ,
        Permission.USERS_WRITE,
        Permission.AUDIT_READ,
        Permission.CHAT_READ,
        Permission.CHAT_REPLY,
        Permission.CHAT_MANAGE,
        Permission.REALTIME_PUBLISH,
    },
    "admin": frozenset(Permission),
}

# Permissions that change nothing outside the caller's own conversations.
READ_PERMISSIONS: frozenset[str] = frozenset(
    {
        Permission.RAG_READ,
        Permission.AGENT_QUERY,
        Permission.USERS_READ,
        Permission.AUDIT_READ,
        Permission.SYSTEM_READ,
        Permission.PACKAGES_READ,
        Permission.CHAT_USE,
        Permission.CHAT_READ,
    }
)

# Permissions that a service account can have. A new permission belongs here only if it neither
# administers accounts nor reads or changes data of other tenants.
SERVICE_ACCOUNT_PERMISSIONS: frozenset[str] = frozenset(
    {
        Permission.RAG_READ,
        Permission.RAG_WRITE,
        Permission.AGENT_QUERY,
        Permission.PACKAGES_READ,
        Permission.PACKAGES_WRITE,
        Permission.REALTIME_PUBLISH,
    }
)

# Permissions that a service may use on behalf of a user, even if the user has more.
# A service that is not listed may not call other services. A service with an empty set may call
# only internal routes: it delivers audit events.
DELEGATED_PERMISSIONS: dict[str, frozenset[Permission]] = {
    "agent-service": frozenset(
        {Permission.RAG_READ, Permission.RAG_WRITE, Permission.PACKAGES_READ}
    ),
    # It forwards the administration of users, and who grants a role needs all permissions of it.
    "admin-service": frozenset(Permission),
    "chat-service": frozenset(
        {Permission.AGENT_QUERY, Permission.RAG_READ, Permission.PACKAGES_READ}
    ),
    "rag-service": frozenset(),
    "packages-service": frozenset(),
    "gateway": frozenset(),
}
# Services that forward a user's token, including one that auth issued to another service.
FORWARDING_SERVICES = frozenset({"agent-service"})
