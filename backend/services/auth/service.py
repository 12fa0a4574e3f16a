"""Description of the auth service for the catalog."""

from backend.chassis.service_description import Command, Service

SERVICE = Service(
    "auth",
    port=5001,
    commands=(
        Command("users", "list, create, disable and unlock accounts, reset passwords, …"),
        Command("tenants", "manage tenants and their members"),
        Command("keys", "manage API keys; `keys rotate` replaces the token signing key"),
    ),
)
