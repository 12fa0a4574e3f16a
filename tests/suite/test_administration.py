"""Statistics and operator commands on a running suite."""

import json
import re
import subprocess
import sys
import time
from typing import Any

import pytest
import requests

from tests.servers import wait_until
from tests.suite.conftest import PASSWORD, ROOT, Suite, UserClient

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


@pytest.mark.slow
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


def test_invited_person_creates_an_account_and_invited_user_joins_a_tenant(suite, ada, root):
    def find_token(address: str) -> str:
        def list_mails() -> list[str]:
            files = (suite.folder / "data" / "mail").glob("*.eml")
            texts = [file.read_text().replace("=\n", "") for file in files]
            return [text for text in texts if f"To: {address}" in text]

        wait_until(list_mails)
        found = re.search(r"/console/invitation#(inv_[\w-]+)", list_mails()[0])
        assert found
        return found[1]

    person = f"person-{time.time_ns()}"
    address = f"{person}@example.org"
    body = {"email": address, "roles": ["viewer"]}
    assert root("POST", "/auth/invitations", json=body).status_code == 201
    browser = requests.Session()
    browser.headers.update({"Sec-Fetch-Site": "same-origin", "X-Requested-With": "console"})
    account = {"username": person, "password": PASSWORD, "session": "cookie"}
    accepted = browser.post(
        f"{suite.url}/auth/invitations/accept",
        json=account | {"token": find_token(address)},
        timeout=30,
    )
    assert accepted.status_code == 201, accepted.text
    # Unlike browsers, requests sends no secure cookie to a loopback address.
    browser.headers["Cookie"] = "; ".join(f"{one.name}={one.value}" for one in browser.cookies)
    me = browser.get(f"{suite.url}/auth/me", timeout=30).json()
    assert (me["email"], me["roles"]) == (address, ["viewer"])

    tenant = root("POST", "/auth/tenants", json={"name": "Invited team"}).json()["id"]
    refresh = {"refresh_token": root.account["refresh_token"]}
    token = root("POST", "/auth/refresh", json=refresh).json()["access_token"]
    address = f"ada-{time.time_ns()}@example.org"
    invited = requests.post(
        f"{suite.url}/auth/invitations",
        json={"email": address, "roles": ["viewer"]},
        headers={"Authorization": f"Bearer {token}", "X-Tenant-ID": tenant},
        timeout=30,
    )
    assert invited.status_code == 201, invited.text
    joined = ada("POST", "/auth/invitations/accept", json={"token": find_token(address)})
    assert (joined.status_code, joined.json()["tenant_id"]) == (200, tenant)
    assert tenant in [item["id"] for item in ada("GET", "/auth/me").json()["tenants"]]
