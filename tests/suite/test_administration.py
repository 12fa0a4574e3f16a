"""The suite in numbers, and what an operator does beside it while it runs."""

import json
import subprocess
import sys
from typing import Any

import pytest
import requests

from tests.servers import wait_until
from tests.suite.conftest import ROOT, Person, Suite

pytestmark = pytest.mark.suite


@pytest.fixture(scope="module")
def command(suite: Suite):
    """`python -m backend WORDS --json`, with the settings of the running suite; what it wrote."""

    def ask(*words: str) -> Any:
        asked = subprocess.run(
            [sys.executable, "-m", "backend", *words, "--json"],
            cwd=ROOT,
            env=suite.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert asked.returncode == 0, asked.stderr
        return json.loads(asked.stdout)

    return ask


@pytest.fixture(scope="module")
def root(suite: Suite, command) -> Person:
    """An administrator whom a command has made."""
    made = command("users", "create", "root", "--role", "admin")
    body = {"username": "root", "password": made["password"]}
    account = requests.post(f"{suite.url}/auth/login", json=body, timeout=30).json()
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {account['access_token']}"
    return Person(suite.url, session, account)


def test_everything_that_happens_is_in_the_numbers(suite, ada, root, command):
    def today() -> dict[str, Any]:
        answer = root("GET", "/admin/stats?days=2").json()
        assert answer["unavailable"] == []
        return answer["days"][-1] | {"of": answer["totals"]}

    before = today()
    name = f"notes-{ada.account['user']['id']}.txt"
    files = {"file": (name, f"Pumps, told of by {name}.".encode())}
    assert ada("POST", "/rag/documents?wait=60", files=files).status_code == 201
    ada("POST", "/agent/query", json={"user_request": "How much is 6 times 7?"})
    suite.person("somebody")
    ada("GET", "/rag/documents/no-such-document")
    after = today()

    assert after["of"]["users"]["total"] == before["of"]["users"]["total"] + 1
    assert after["of"]["documents"]["ready"] > before["of"]["documents"]["ready"]
    assert after["of"]["bytes"] > before["of"]["bytes"]
    for counted in ("users", "sign_ins", "documents", "conversations", "messages"):
        assert after[counted] > before[counted], counted
    wait_until(lambda: today()["client_errors"] > before["client_errors"])
    assert today()["services"]["rag"]["requests"] > 0


def test_an_api_key_with_the_right_sees_them_too(suite, root, command):
    key = command("keys", "create", "root", "dashboard", "--permissions", "system:read")["key"]
    answer = requests.get(f"{suite.url}/admin/stats", headers={"X-API-Key": key}, timeout=30)

    assert answer.status_code == 200
    assert len(answer.json()["days"]) == 30
    assert answer.json()["unavailable"] == []


def test_whom_a_command_shuts_out_is_out_within_a_second(ada, command):
    assert ada("GET", "/rag/documents").status_code == 200
    command("users", "disable", ada.account["user"]["username"])

    wait_until(lambda: ada("GET", "/rag/documents").status_code == 401, 2)


@pytest.mark.slow
def test_the_doctor_finds_nothing_that_keeps_a_good_suite_from_working(command):
    findings = command("doctor")["findings"]

    assert [each for each in findings if each["level"] == "error"] == []
