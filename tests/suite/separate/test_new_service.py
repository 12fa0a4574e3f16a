"""A new service: one package, one catalog line, and the gateway forwards requests to it."""

import shutil

import pytest
import requests

from tests.servers import free_port
from tests.suite.conftest import ROOT, prepare_suite

pytestmark = [pytest.mark.suite, pytest.mark.slow]

SERVICE = """
import os

from flask import Flask
from flask_cors import CORS
from pydantic import BaseModel

from backend.chassis.web.agent_tools import agent_tool, declare_agent_tools
from backend.security import Permission, require_permission, validate_input


class Greeting(BaseModel):
    name: str


app = Flask("new-service")
CORS(app)


@app.get("/health")
def health():
    return {"status": "healthy", "service": "new-service"}


@app.post("/greetings")
@agent_tool("greet")
@require_permission(Permission.RAG_WRITE)
@validate_input(Greeting)
def greet(greeting: Greeting):
    'Greet a user.'
    return {"text": f"Hello, {greeting.name}!"}, 201


declare_agent_tools(app)

if __name__ == "__main__":
    app.run(port=int(os.getenv("NEW_SERVICE_PORT", 5004)))
"""

DESCRIPTION = """
from backend.chassis.service_description import Service

SERVICE = Service("new", port=5004, declares_agent_tools=True)
"""


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """A copy of the project with one additional service."""
    project = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "backend", project / "backend", symlinks=True)
    for name in ("start_microservices.sh", "requirements.lock", ".env.example"):
        shutil.copy(ROOT / name, project)
    if (ROOT / ".venv").exists():
        (project / ".venv").symlink_to(ROOT / ".venv")
    # Otherwise the start would build the model files again.
    (project / ".cache").mkdir()
    (project / ".cache" / "models").symlink_to(ROOT / ".cache" / "models")
    (project / "backend" / "services" / "new").mkdir()
    (project / "backend" / "services" / "new" / "app.py").write_text(SERVICE)
    (project / "backend" / "services" / "new" / "service.py").write_text(DESCRIPTION)
    catalog = project / "backend" / "chassis" / "catalog.py"
    before = '    "gateway",\n'
    catalog.write_text(catalog.read_text().replace(before, '    "new",\n' + before))
    port = free_port()
    running = prepare_suite(project, root=project, NEW_SERVICE_PORT=str(port))
    running.ports["new"] = port
    try:
        running.start()
        yield running
    finally:
        running.stop()


def test_new_service_is_reached_through_the_gateway(suite, ada):
    response = ada("POST", "/new/greetings", json={"name": "Ada"})

    assert (response.status_code, response.json()) == (201, {"text": "Hello, Ada!"})


def test_new_service_enforces_permissions_and_schemas(suite, ada):
    unauthenticated = requests.post(f"{suite.url}/new/greetings", json={"name": "x"}, timeout=10)
    direct = requests.post(f"http://127.0.0.1:{suite.ports['new']}/greetings", json={}, timeout=10)
    invalid = ada("POST", "/new/greetings", json={"nam": "Ada"})

    assert unauthenticated.status_code == direct.status_code == 401
    assert invalid.status_code == 422
    assert {error["pointer"] for error in invalid.json()["errors"]} == {"#/name", "#/nam"}


def test_new_service_is_listed_in_the_gateway_health(suite):
    assert suite.health()["services"]["new"]["status"] == "healthy"


def test_new_service_has_a_log_file(suite):
    assert (suite.folder / "logs" / "new_service.log").exists()


def test_agent_uses_the_tool_of_the_new_service(suite, ada):
    params = {"name": "new_greet", "arguments": {"name": "Ada"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}

    listed = ada("GET", "/agent/tools").json()["items"]
    response = ada("POST", "/agent/mcp", json=body).json()

    assert ("new_greet", "service:new", True) in [
        (tool["name"], tool["source"], tool["side_effects"]) for tool in listed
    ]
    assert "Hello, Ada!" in response["result"]["content"][0]["text"]
