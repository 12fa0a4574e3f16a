"""Agents as real processes, with a stand-in for the service whose keys they verify tokens with."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from backend.security.redis import connect
from backend.security.revocation import History, SharedRevocations
from backend.security.tokens import public_jwk
from tests.databases import variables_in
from tests.identities import Identities
from tests.servers import free_port, process, wait_until
from tests.services.agent.stand_ins import Door, ScriptedModel, Shelf, serving

ROOT = Path(__file__).parents[3]


class KeyPublisher:
    """The auth service, as far as it tells its public keys."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities
        self.url = ""

    def answer(self, door: Door) -> None:
        door.answer(200, {"keys": [public_jwk(self._identities.key.public_key())]})


@dataclass
class Worker:
    """One gunicorn with one worker process that requests go to."""

    url: str
    master: int

    def post(self, path: str, body: Any, bearer: dict[str, str], **how: Any) -> requests.Response:
        return requests.post(self.url + path, json=body, headers=bearer, timeout=60, **how)

    def get(self, path: str, bearer: dict[str, str]) -> Any:
        return requests.get(self.url + path, headers=bearer, timeout=60).json()

    @property
    def pid(self) -> int:
        """The process that answers."""
        children = Path(f"/proc/{self.master}/task/{self.master}/children").read_text().split()
        return int(children[0])

    def threads(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))

    def sockets(self) -> int:
        folder = Path(f"/proc/{self.pid}/fd")
        return sum(str(each.readlink()).startswith("socket:") for each in folder.iterdir())

    def megabytes(self) -> float:
        """Of memory that is in use."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/health/ready", timeout=5).ok
        except requests.RequestException:
            return False


@contextmanager
def workers(
    folder: Path, identities: Identities, model: ScriptedModel, redis_url: str, many: int = 1
) -> Iterator[list[Worker]]:
    """*many* agents over one database and one Redis, thinking with *model*."""
    SharedRevocations(connect(redis_url)).tell_all(History([], {}, {}, 600))
    with serving(KeyPublisher(identities)) as keys, serving(Shelf()) as shelf:
        environment = {
            "PATH": os.environ["PATH"],
            "DATA_DIR": str(folder / "data"),
            **variables_in(folder / "data"),
            "SECRET_KEY": "a secret of the tests",
            "AUTH_SERVICE_URL": keys.url,
            "RAG_SERVICE_URL": shelf.url,
            "REDIS_URL": redis_url,
            "LLM": f"{model.url}/v1#scripted",
        }
        command = [sys.executable, "-m", "backend.chassis", "serve", "agent"]
        with _each(command, folder, environment, many) as running:
            for worker in running:
                wait_until(worker.answers, 60)
            yield running


@contextmanager
def _each(
    command: list[str], folder: Path, environment: dict[str, str], many: int
) -> Iterator[list[Worker]]:
    if not many:
        yield []
        return
    port = free_port()
    with (
        process(
            command,
            folder / "agents.log",
            env=environment | {"AGENT_SERVICE_PORT": str(port)},
            cwd=ROOT,
        ) as child,
        _each(command, folder, environment, many - 1) as others,
    ):
        yield [Worker(f"http://127.0.0.1:{port}", child.pid), *others]
        child.send_signal(signal.SIGQUIT)  # at once: gunicorn's polite end takes seconds
