"""Process that serves the agent's gRPC services: `python -m backend.services.agent.rpc_app`."""

import threading
from typing import TYPE_CHECKING

from backend.chassis.rpc.companion import ensure_packages_installed

if TYPE_CHECKING:
    from flask import Flask


def main() -> None:
    ensure_packages_installed()
    from backend.chassis.rpc.server import run_rpc_server
    from backend.services.agent.app import create_app
    from backend.services.agent.rpc.services import SERVICES

    run_rpc_server("agent", create_app, SERVICES, _warm_up)


def _warm_up(app: "Flask") -> None:
    """Import LangChain in the background if a model is configured: it takes two seconds."""
    from backend.chassis.web.app_factory import get_component
    from backend.services.agent.engine.chat_models.registry import RULE_BASED_MODEL
    from backend.services.agent.wiring import CommandServices

    services = get_component(app, CommandServices)
    if services.models.resolve_name(None) != RULE_BASED_MODEL:
        threading.Thread(target=services.runner.warm_up, name="warm-up", daemon=True).start()


if __name__ == "__main__":
    main()
