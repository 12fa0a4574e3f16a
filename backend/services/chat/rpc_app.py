"""Process that serves the gRPC service of chat: `python -m backend.services.chat.rpc_app`."""

from backend.chassis.rpc.companion import ensure_packages_installed


def main() -> None:
    ensure_packages_installed()
    from backend.chassis.rpc.server import run_rpc_server
    from backend.services.chat.app import create_app
    from backend.services.chat.rpc.services import SERVICES

    run_rpc_server("chat", create_app, SERVICES)


if __name__ == "__main__":
    main()
