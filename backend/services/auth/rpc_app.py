"""Process that serves the gRPC services of auth: `python -m backend.services.auth.rpc_app`."""

from backend.chassis.rpc.companion import ensure_packages_installed


def main() -> None:
    ensure_packages_installed()
    from backend.chassis.rpc.server import run_rpc_server
    from backend.services.auth.app import create_app
    from backend.services.auth.rpc.services import SERVICES

    run_rpc_server("auth", create_app, SERVICES)


if __name__ == "__main__":
    main()
