"""Killed processes: the gateway names them, the supervisor restarts them, nothing is lost."""

import os
import signal

import pytest
import requests

from tests.servers import wait_until
from tests.suite.conftest import DATA

pytestmark = pytest.mark.suite
PROBES = {"auth": "/auth/me", "rag": "/rag/documents", "agent": "/agent/sessions"}


def kill(suite, name):
    os.kill(suite.get_pid(name), signal.SIGKILL)


@pytest.mark.parametrize("victim", ["auth", "rag", pytest.param("agent", marks=pytest.mark.slow)])
def test_killed_service_is_named_in_errors_and_restarted(suite, ada, victim):
    others = [path for name, path in PROBES.items() if name != victim]
    for path in PROBES.values():
        assert ada("GET", path).status_code == 200

    kill(suite, f"{victim}-service")

    try:
        response = ada("GET", PROBES[victim])
    except requests.exceptions.ChunkedEncodingError:
        # The service was killed while it sent this response, which is truncated.
        response = ada("GET", PROBES[victim])
    if response.status_code != 200:
        assert response.status_code in (502, 503)
        assert victim in response.json()["detail"]
    for path in others:
        assert ada("GET", path).status_code == 200
    wait_until(lambda: suite.health().get("status") == "healthy", seconds=90)
    wait_until(lambda: ada("GET", PROBES[victim]).status_code == 200, seconds=20)


def test_killed_gateway_is_restarted(suite):
    killed = suite.get_pid("gateway")
    kill(suite, "gateway")

    # Its worker may serve requests a moment longer than its master exists.
    wait_until(lambda: suite.get_pid("gateway") != killed, seconds=30)
    wait_until(lambda: suite.health().get("status") == "healthy", seconds=60)


def test_killed_valkey_is_restarted_and_revoked_sessions_stay_revoked(suite, pytestconfig):
    if pytestconfig.getoption("--redis") == "cluster":
        pytest.skip("the suite runs no Valkey server of its own")
    revoked, other = suite.register_user(), suite.register_user()
    assert revoked("POST", "/auth/logout").status_code == 204
    kill(suite, "valkey")

    assert revoked("GET", "/rag/documents").status_code in (401, 503)
    wait_until(lambda: other("GET", "/rag/documents").status_code == 200, seconds=30)
    assert revoked("GET", "/rag/documents").status_code == 401


def test_document_uploaded_before_a_kill_is_processed_afterwards(suite, ada):
    document = ada.upload(DATA / "multi_page.pdf", wait=0)
    kill(suite, "rag-service")

    def ready():
        response = ada("GET", f"/rag/documents/{document['id']}")
        return response.status_code == 200 and response.json()["status"] == "ready"

    wait_until(ready, seconds=60)
