"""Description of the chat service and its worker for the catalog."""

from pathlib import Path

from backend.chassis.rpc.companion import create_rpc_companion
from backend.chassis.service_description import Companion, GetVariable, Service

# A request with ?wait= and each open event stream occupies a thread.
SERVICE = Service(
    "chat",
    port=5004,
    api_description="The chat service stores conversations with users and with the contacts of "
    "channels. The agent answers in them, and people can take over.",
    threads=64,
    api_paths=(("/api/v2/chat", ""),),
)


def _is_needed(_get_variable: GetVariable, _data: Path) -> bool:
    return True


COMPANIONS = (
    # Answers messages, downloads media and sends deliveries. Its port serves metrics and a
    # liveness probe. On this host, the service wakes it through a pipe, so that it needs no memory
    # while there is no work.
    Companion(
        "chat-worker",
        "chat",
        ("-m", "backend.services.chat.worker"),
        is_needed=_is_needed,
        port=5041,
        port_variable="CHAT_WORKER_PORT",
        probe_path="/health/live",
        logs_json=True,
        on_demand=True,
        wake_folder="chat",
        imports=("backend.services.chat.wiring",),
    ),
    create_rpc_companion("chat", 50053, "CHAT_GRPC_URL"),
)
