"""Agent services as real processes, with fakes of the auth and rag services."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import requests

from backend.security.redis import connect
from backend.security.revocation import RevocationHistory, SharedRevocations
from backend.security.tokens import public_jwk
from tests.databases import variables_in
from tests.identities import Identities
from tests.servers import free_port, process, wait_until
from tests.services.agent.fakes import FakeRagService, FakeRequestHandler, run_server

ROOT = Path(__file__).parents[3]


class KeyPublisher:
    """The JWKS endpoint of the auth service, with the public keys that verify tokens."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities
        self.url = ""

    def handle_request(self, handler: FakeRequestHandler) -> None:
        handler.send_json(200, {"keys": [public_jwk(self._identities.key.public_key())]})


@dataclass
class AgentProcess:
    """A process of the agent service."""

    url: str
    pid: int

    def post(
        self, path: str, body: Any, bearer: dict[str, str], **options: Any
    ) -> requests.Response:
        return requests.post(self.url + path, json=body, headers=bearer, timeout=60, **options)

    def get(self, path: str, bearer: dict[str, str]) -> Any:
        return requests.get(self.url + path, headers=bearer, timeout=60).json()

    def count_threads(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))

    def count_sockets(self) -> int:
        folder = Path(f"/proc/{self.pid}/fd")
        return sum(str(file.readlink()).startswith("socket:") for file in folder.iterdir())

    def get_memory_megabytes(self) -> float:
        """Return the resident memory in MB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def is_ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/health/ready", timeout=5).ok
        except requests.RequestException:
            return False


class ModelServer(Protocol):
    """A server with OpenAI's API."""

    @property
    def url(self) -> str: ...


@contextmanager
def run_agents(
    folder: Path,
    identities: Identities,
    model: ModelServer,
    redis_url: str,
    count: int = 1,
    root: Path = ROOT,
) -> Iterator[list[AgentProcess]]:
    """Run *count* agents of the checkout *root* that share a database, a Redis and *model*."""
    SharedRevocations(connect(redis_url)).repopulate(RevocationHistory([], {}, {}, 600))
    with run_server(KeyPublisher(identities)) as keys, run_server(FakeRagService()) as rag_service:
        environment = {
            "PATH": os.environ["PATH"],
            "DATA_DIR": str(folder / "data"),
            **variables_in(folder / "data"),
            "SECRET_KEY": "a secret of the tests",
            "AUTH_SERVICE_URL": keys.url,
            "RAG_SERVICE_URL": rag_service.url,
            "REDIS_URL": redis_url,
            "LLM": f"{model.url}/v1#scripted",
        }
        command = [sys.executable, "-m", "backend.operations", "serve", "agent"]
        with _start_agents(command, folder, environment, count, root) as agents:
            for agent in agents:
                wait_until(agent.is_ready, 60)
            yield agents


@contextmanager
def _start_agents(
    command: list[str], folder: Path, environment: dict[str, str], count: int, root: Path
) -> Iterator[list[AgentProcess]]:
    if not count:
        yield []
        return
    port = free_port()
    with (
        process(
            command,
            folder / "agents.log",
            env=environment | {"AGENT_SERVICE_PORT": str(port)},
            cwd=root,
        ) as child,
        _start_agents(command, folder, environment, count - 1, root) as others,
    ):
        yield [AgentProcess(f"http://127.0.0.1:{port}", child.pid), *others]
        child.send_signal(signal.SIGQUIT)  # immediately: a graceful stop takes seconds
