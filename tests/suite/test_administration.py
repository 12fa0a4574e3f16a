"""Statistics and operator commands on a running suite."""

import json
import subprocess
import sys
from typing import Any

import pytest
import requests

from tests.servers import wait_until
from tests.suite.conftest import ROOT, Suite, UserClient

pytestmark = pytest.mark.suite


@pytest.fixture(scope="module")
def command(suite: Suite):
    """Return a function that runs `python -m backend … --json` and returns the parsed output."""

    def run_command(*arguments: str) -> Any:
        process = subprocess.run(
            [sys.executable, "-m", "backend", *arguments, "--json"],
            cwd=ROOT,
            env=suite.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert process.returncode == 0, process.stderr
        return json.loads(process.stdout)

    return run_command


@pytest.fixture(scope="module")
def root(suite: Suite, command) -> UserClient:
    """An administrator created with a command."""
    created = command("users", "create", "root", "--role", "admin")
    body = {"username": "root", "password": created["password"]}
    account = requests.post(f"{suite.url}/auth/login", json=body, timeout=30).json()
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {account['access_token']}"
    return UserClient(suite.url, session, account)


def test_statistics_count_all_activity(suite, ada, root, command):
    def today() -> dict[str, Any]:
        stats = root("GET", "/admin/stats?days=2").json()
        assert stats["unavailable"] == []
        return stats["days"][-1] | {"of": stats["totals"]}

    before = today()
    name = f"notes-{ada.account['user']['id']}.txt"
    files = {"file": (name, f"Pumps, described in {name}.".encode())}
    assert ada("POST", "/rag/documents?wait=60", files=files).status_code == 201
    ada("POST", "/agent/query", json={"user_request": "How much is 6 times 7?"})
    suite.register_user("visitor")
    ada("GET", "/rag/documents/no-such-document")
    after = today()

    assert after["of"]["users"]["total"] == before["of"]["users"]["total"] + 1
    assert after["of"]["documents"]["ready"] > before["of"]["documents"]["ready"]
    assert after["of"]["bytes"] > before["of"]["bytes"]
    for counted in ("users", "sign_ins", "documents", "conversations", "messages"):
        assert after[counted] > before[counted], counted
    wait_until(lambda: today()["client_errors"] > before["client_errors"])
    assert today()["services"]["rag"]["requests"] > 0


def test_api_key_with_system_read_gets_statistics(suite, root, command):
    key = command("keys", "create", "root", "dashboard", "--permissions", "system:read")["key"]
    answer = requests.get(f"{suite.url}/admin/stats", headers={"X-API-Key": key}, timeout=30)

    assert answer.status_code == 200
    assert len(answer.json()["days"]) == 30
    assert answer.json()["unavailable"] == []


def test_disabled_user_is_rejected_within_a_second(ada, command):
    assert ada("GET", "/rag/documents").status_code == 200
    command("users", "disable", ada.account["user"]["username"])

    wait_until(lambda: ada("GET", "/rag/documents").status_code == 401, 2)


@pytest.mark.slow
def test_doctor_reports_no_error_on_a_healthy_suite(command):
    findings = command("doctor")["findings"]

    assert [finding for finding in findings if finding["level"] == "error"] == []
