"""Checks of the gRPC servers: packages and settings."""

from collections.abc import Iterator

from backend.chassis.catalog import COMPANIONS, SERVICE_NAMES
from backend.chassis.diagnostics import Finding, error
from backend.chassis.rpc.companion import (
    INSTALL_COMMAND,
    are_packages_missing,
    is_grpc_enabled,
)
from backend.chassis.rpc.settings import RpcClientSettings, RpcServerSettings
from backend.chassis.settings import Env, SettingsError

_NAME = "grpc"


def check_grpc(env: Env) -> Iterator[Finding]:
    """Yield what keeps the gRPC servers from starting, if they are enabled."""
    if not is_grpc_enabled(env.optional):
        return
    if are_packages_missing():
        yield error(
            _NAME,
            "GRPC is on, but its packages are not installed.",
            "The gRPC servers do not start.",
            INSTALL_COMMAND,
        )
    try:
        RpcClientSettings.from_env(env)
        for name in _list_rpc_services():
            RpcServerSettings.from_env(env, name)
    except SettingsError as invalid:
        yield error(_NAME, str(invalid), "The gRPC servers do not start.", "Correct the setting.")


def _list_rpc_services() -> Iterator[str]:
    names = {companion.name for companion in COMPANIONS}
    return (name for name in SERVICE_NAMES if f"{name}-rpc" in names)
