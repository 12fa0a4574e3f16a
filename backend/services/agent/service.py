"""Description of the agent service and its companion processes for the catalog."""

from pathlib import Path

from backend.ai.local_model.model_files import is_servable
from backend.chassis.rpc.companion import create_rpc_companion
from backend.chassis.service_description import Companion, GetVariable, Service

# Each open event stream occupies a thread until it ends.
SERVICE = Service(
    "agent",
    port=5002,
    api_description="The agent service answers requests with tools and the caller's documents. It "
    "stores the conversations as sessions. OpenAI clients use the routes below `/v1`.",
    threads=96,
)


def _serves_local_model(get_variable: GetVariable, data: Path) -> bool:
    return get_variable("LOCAL_MODEL_URL") is None and is_servable(data)


COMPANIONS = (
    # A language model on this host, once `python -m backend.services.agent fetch-model` ran.
    Companion(
        "local-model",
        "agent",
        ("-m", "backend.ai.local_model", "{host}", "{port}", "{data}"),
        is_needed=_serves_local_model,
        port=5030,
        port_variable="LOCAL_MODEL_PORT",
        url_variable="LOCAL_MODEL_URL",
        probe_path="/health",
    ),
    create_rpc_companion("agent", 50051, "MCP_ENGINE_URL"),
)
