"""Description of the companion process that serves gRPC for a service.

Only the standard library is imported: the start script reads it before any package is installed.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

from backend.chassis.service_description import Companion, GetVariable

# The process serves /metrics and /health/live by HTTP at its port plus this number.
HTTP_PORT_OFFSET = 10
INSTALL_COMMAND = "./start_microservices.sh install --extra grpc"
_PACKAGES = ("grpc", "grpc_health", "grpc_reflection", "grpc_status")
# Modules that grpcio imports when a server is created.
_LAZY_IMPORTS = ("grpc._server", "grpc._interceptor", "grpc_status.rpc_status")
_ENABLED = frozenset({"1", "true", "yes", "on"})


def create_rpc_companion(service: str, port: int, url_variable: str) -> Companion:
    """Return the description of the process `backend.services.SERVICE.rpc_app`.

    Args:
        service: name of the service.
        port: default port.
        url_variable: environment variable that passes its URL to the services.
    """
    package = f"backend.services.{service}"
    return Companion(
        f"{service}-rpc",
        service,
        ("-m", f"{package}.rpc_app"),
        is_needed=_is_needed,
        port=port,
        port_variable=f"{service.upper()}_GRPC_PORT",
        url_variable=url_variable,
        tls_variable="GRPC_CERTFILE",
        probe_path="/health/live",
        probe_port_offset=HTTP_PORT_OFFSET,
        logs_json=True,
        # Without the packages it fails at the start, with advice, rather than with each connection.
        on_demand=not are_packages_missing(),
        imports=(
            f"{package}.app",
            f"{package}.rpc.services",
            "backend.chassis.rpc.server",
            *_LAZY_IMPORTS,
        ),
    )


def is_grpc_enabled(get_variable: GetVariable) -> bool:
    """Return True if the variable GRPC is on."""
    return (get_variable("GRPC") or "").strip().lower() in _ENABLED


def _is_needed(get_variable: GetVariable, _data: Path) -> bool:
    return is_grpc_enabled(get_variable)


def are_packages_missing() -> bool:
    """Return True if packages of the extra `grpc` are not installed."""
    return any(find_spec(name) is None for name in _PACKAGES)


def ensure_packages_installed() -> None:
    """End the process with advice if packages of the extra `grpc` are missing."""
    if are_packages_missing():
        sys.exit(f"The packages for gRPC are not installed. Install them with: {INSTALL_COMMAND}")
