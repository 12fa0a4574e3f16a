"""The list of services: a name and a port, one line each; and of what runs beside them.

The start script starts what stands here, and the gateway forwards `/<name>/…` to the services.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from backend.chassis.local_model.weights import can_be_served


class Command(NamedTuple):
    """A word of `python -m backend`, and what it does, in a line."""

    word: str
    does: str


@dataclass(frozen=True, slots=True)
class Service:
    """One process: its folder under `backend/services`, its port, and how it is served."""

    name: str
    port: int
    threads: int = 16
    # gunicorn's way of carrying requests.
    worker: str = "gthread"
    # Whether it declares tools for the agent (backend/chassis/agent_tools.py).
    tools: bool = False
    # Words that its `__main__.main` understands, for `python -m backend` to hand on.
    commands: tuple[Command, ...] = ()

    @property
    def is_gateway(self) -> bool:
        return self.name == "gateway"

    @property
    def full_name(self) -> str:
        """What the service calls itself in health answers and logs."""
        return self.name if self.is_gateway else f"{self.name}-service"

    @property
    def module(self) -> str:
        return f"backend.services.{self.name}.app"

    @property
    def port_variable(self) -> str:
        return "GATEWAY_PORT" if self.is_gateway else f"{self.name.upper()}_SERVICE_PORT"

    @property
    def url_variable(self) -> str:
        return f"{self.name.upper()}_SERVICE_URL"

    @property
    def log_name(self) -> str:
        return f"{self.full_name.replace('-', '_')}.log"


# Asked with a way to look up variables by name, and the data folder.
Wanted = Callable[[Callable[[str], str | None], Path], bool]


@dataclass(frozen=True, slots=True)
class Companion:
    """A process that runs beside the services and that nobody reaches through the gateway."""

    name: str
    # The service that it works for: who asks for that one alone gets this one too.
    service: str
    # What Python is called with; `{host}`, `{port}` and `{data}` are filled in.
    arguments: tuple[str, ...]
    is_wanted: Wanted
    # Where it listens, if it does. Others hear of it through the variables.
    port: int | None = None
    port_variable: str = ""
    url_variable: str = ""
    # Answers 200 when it is ready. Without one, it is ready when it runs.
    probe_path: str | None = None
    # Others keep things in it: it ends after them.
    is_store: bool = False
    # Whether its lines are like the services'; else the supervisor makes them so.
    speaks_json: bool = False

    @property
    def log_name(self) -> str:
        return f"{self.name.replace('-', '_')}.log"

    def command(self, python: str, host: str, port: int | None, data: Path) -> tuple[str, ...]:
        return (python, *(each.format(host=host, port=port, data=data) for each in self.arguments))


CATALOG = (
    Service(
        "auth",
        5001,
        commands=(
            Command("users", "accounts: list, create, disable, unlock, reset a password, …"),
            Command("tenants", "tenants and their members"),
            Command("keys", "API keys; and `keys rotate`, for another signing key"),
        ),
    ),
    # A stream holds a thread for as long as it lasts.
    Service("agent", 5002, threads=96),
    # Who waits for a document to be read holds one.
    Service("rag", 5003, threads=32),
    Service("admin", 5005),
    Service("gateway", 5000, worker="backend.services.gateway.edge.worker.EdgeWorker"),
)

COMPANIONS: tuple[Companion, ...] = (
    # The rag service's processes and its worker share one; the embedded client is for one process.
    Companion(
        "chroma",
        "rag",
        (
            *("-m", "backend.services.rag.store.vectors.chroma_server"),
            *("{data}/rag/vectors", "{host}", "{port}"),
        ),
        is_wanted=lambda get, _: (
            (get("VECTOR_STORE") or "chroma") == "chroma" and get("CHROMA_URL") is None
        ),
        port=5020,
        port_variable="CHROMA_PORT",
        url_variable="CHROMA_URL",
        probe_path="/api/v2/heartbeat",
        is_store=True,
    ),
    # Reads documents, unless the vectors lie in a folder that is the service's alone.
    Companion(
        "rag-worker",
        "rag",
        ("-m", "backend.services.rag.worker"),
        is_wanted=lambda get, _: get("VECTOR_STORE") != "qdrant" or get("QDRANT_URL") is not None,
        # Its numbers alone are there.
        port=5040,
        port_variable="RAG_WORKER_PORT",
        speaks_json=True,
        probe_path="/metrics",
    ),
    # A language model, where `python -m backend.services.agent fetch-model` has fetched one.
    Companion(
        "local-model",
        "agent",
        ("-m", "backend.chassis.local_model", "{host}", "{port}", "{data}"),
        is_wanted=lambda get, data: get("LOCAL_MODEL_URL") is None and can_be_served(data),
        port=5030,
        port_variable="LOCAL_MODEL_PORT",
        url_variable="LOCAL_MODEL_URL",
        probe_path="/health",
    ),
)


def service(name: str) -> Service:
    """The catalog's entry for *name*; KeyError names the ones there are."""
    for entry in CATALOG:
        if entry.name == name:
            return entry
    known = ", ".join(entry.name for entry in CATALOG)
    raise KeyError(f"No service is called {name!r}; the catalog knows {known}.")
