"""Description of the auth service and its companion process for the catalog."""

from backend.chassis.rpc.companion import create_rpc_companion
from backend.chassis.service_description import Command, Service

SERVICE = Service(
    "auth",
    port=5001,
    api_description="The auth service manages accounts, sessions, API keys, second factors, roles "
    "and tenants. It issues the access tokens that all other services verify.",
    # flask-limiter's storage imports the package of each server that it supports.
    imports=("valkey",),
    commands=(
        Command("users", "manage accounts: list, create, disable, unlock, reset passwords"),
        Command("tenants", "manage tenants and their members"),
        Command("keys", "manage API keys; `keys rotate` replaces the token signing key"),
    ),
)

COMPANIONS = (create_rpc_companion("auth", 50052, "SECURITY_HUB_URL"),)
