"""Load of one installation, for Locust (https://locust.io):

    make load       # installs Locust into .venv-load
    .venv-load/bin/locust --locustfile tests/performance/locustfile.py --host http://127.0.0.1:5000

or with `--headless --users 20 --spawn-rate 2 --run-time 1m`. Each user registers an account, so do
not run it against an installation whose data matters. The gateway's rate limits apply: raise
RATE_LIMIT_AUTH, RATE_LIMIT_API and RATE_LIMIT_TENANT to measure the services. A response with
status 429 counts as a failure.
"""

import random
import secrets
from typing import Any

from locust import HttpUser, SequentialTaskSet, between, task

PASSWORD = "seven small boats"
WORDS = ("valve", "pump", "runway", "invoice", "turbine", "warranty", "harbour", "ledger")


class Round(SequentialTaskSet):
    """Tasks that a user repeats in this order."""

    user: "ApiUser"

    @task
    def read_account(self) -> None:
        self.user.send("GET", "/auth/me")

    @task
    def search(self) -> None:
        question = f"How long does the {self.user.thing} last?"
        self.user.send("POST", "/rag/search", json={"query": question})

    @task
    def ask(self) -> None:
        question = f"How long does the {self.user.thing} last?"
        self.user.send("POST", "/agent/query", json={"user_request": question})

    @task
    def write_message(self) -> None:
        message = {"content": f"Where is the {self.user.thing}?"}
        self.user.send("POST", "/chat/message?wait=30", "/chat/message", json=message)

    @task
    def track_package(self) -> None:
        package = {"tracking_number": f"LOAD{secrets.randbelow(10**12):012}", "carrier": "own"}
        created = self.user.send("POST", "/packages", json=package)
        self.user.send("GET", f"/packages/{created['id']}", "/packages/ID")
        self.user.send("GET", "/packages?limit=20", "/packages")

    @task
    def open_console(self) -> None:
        self.client.get("/console/", name="/console/")

    @task
    def sign_in(self) -> None:
        # The session before is left to expire, as when a browser is closed.
        self.user.sign_in("/auth/login")


class ApiUser(HttpUser):
    """A signed-in user of all services."""

    wait_time = between(0.5, 2.0)
    tasks = [Round]  # noqa: RUF012 - Locust reads the class attribute

    def on_start(self) -> None:
        """Register an account, and upload the document that the questions are about."""
        self._username = f"load-{secrets.token_hex(6)}"
        # Not a secret.
        self.thing = f"{random.choice(WORDS)} {random.randrange(10**6)}"  # noqa: S311
        self.sign_in("/auth/register")
        text = f"The {self.thing} lasts 18 months. It is made of steel."
        self.send("POST", "/rag/documents", files={"file": ("note.txt", text)})

    def sign_in(self, path: str) -> None:
        """Send the user's name and password to *path*, and use the token of the response."""
        tokens = self.send("POST", path, json={"username": self._username, "password": PASSWORD})
        self.client.headers["Authorization"] = f"Bearer {tokens['access_token']}"

    def send(self, method: str, path: str, name: str | None = None, **options: Any) -> Any:
        """Send a request, counted as *name*, and return the JSON of the response.

        Raises:
            HTTPError: the response is no success, which Locust has counted. It ends the task only.
        """
        response = self.client.request(method, path, name=name or path, **options)
        response.raise_for_status()
        return response.json()
