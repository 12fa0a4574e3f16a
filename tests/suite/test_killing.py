"""A process that dies is missed by name, comes back, and takes nothing with it."""

import os
import signal

import pytest
import requests

from backend.chassis.catalog import CATALOG
from tests.servers import wait_until
from tests.suite.conftest import DATA, alive, prepare

pytestmark = pytest.mark.suite
PROBES = {"auth": "/auth/me", "rag": "/rag/documents", "agent": "/agent/sessions"}


def kill(suite, name):
    os.kill(suite.pid_of(name), signal.SIGKILL)


@pytest.mark.parametrize("victim", sorted(PROBES))
def test_a_killed_service_is_missed_by_name_and_comes_back(suite, ada, victim):
    others = [path for name, path in PROBES.items() if name != victim]
    for path in PROBES.values():
        assert ada("GET", path).status_code == 200

    kill(suite, f"{victim}-service")

    try:
        missed = ada("GET", PROBES[victim])
    except requests.exceptions.ChunkedEncodingError:
        # The service died with this very answer under way, which is seen as cut.
        missed = ada("GET", PROBES[victim])
    if missed.status_code != 200:
        assert missed.status_code in (502, 503)
        assert victim in missed.json()["detail"]
    for path in others:
        assert ada("GET", path).status_code == 200
    wait_until(lambda: suite.health().get("status") == "healthy", seconds=90)
    wait_until(lambda: ada("GET", PROBES[victim]).status_code == 200, seconds=20)


def test_a_killed_gateway_comes_back(suite):
    killed = suite.pid_of("gateway")
    kill(suite, "gateway")

    # Its worker may answer for a moment longer than its master lives.
    wait_until(lambda: suite.pid_of("gateway") != killed, seconds=30)
    wait_until(lambda: suite.health().get("status") == "healthy", seconds=60)


def test_a_killed_valkey_comes_back_and_revives_no_session(suite):
    ended, other = suite.person(), suite.person()
    assert ended("POST", "/auth/logout").status_code == 204
    kill(suite, "valkey")

    assert ended("GET", "/rag/documents").status_code in (401, 503)
    wait_until(lambda: other("GET", "/rag/documents").status_code == 200, seconds=30)
    assert ended("GET", "/rag/documents").status_code == 401


def test_what_was_uploaded_before_a_kill_is_read_after_it(suite, ada):
    document = ada.upload(DATA / "multi_page.pdf", wait=0)
    kill(suite, "rag-service")

    def ready():
        response = ada("GET", f"/rag/documents/{document['id']}")
        return response.status_code == 200 and response.json()["status"] == "ready"

    wait_until(ready, seconds=60)


@pytest.mark.timeout(300)
def test_nothing_outlives_a_killed_supervisor(tmp_path):
    second = prepare(tmp_path)
    second.start()
    pids = list(second.descendants())
    assert len(pids) >= 5

    second.process.kill()
    second.process.wait()

    wait_until(lambda: not any(alive(pid) for pid in pids), seconds=20)
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{second.url}/health", timeout=5)


def test_every_service_hears_that_it_shall_end_and_ends_by_itself(tmp_path):
    second = prepare(tmp_path)
    second.start()

    second.stop()

    assert second.process.returncode == 0
    for entry in CATALOG:
        assert "Shutting down: Master" in (tmp_path / "logs" / entry.log_name).read_text()
